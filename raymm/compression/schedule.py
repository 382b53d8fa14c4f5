"""Which forms there is time to measure, as far as those before foretell it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from raymm.artifacts import Config
from raymm.errors import Interrupted

WORTH, SHORT = 5.0, 8.0
"""How many times as long as measuring the bundle as it is, without its rows' times, the first forms
and a final bundle like them take: with less than the first they are not begun, with less than the
second they begin with the finest. Of a booster of 560,000 nodes it was 8, after two coarser ones
12, and whole runs of 95 s became a third longer where nothing asked for that."""
LATER = 0.1
"""Part of the time that is kept for techniques that follow others; the first forms of these are due
in any case."""
SURE = 0.5
"""Share of the time that is left for compressed forms, however long training the bundle took that
is measured, and measuring it as it is. A run that resumes from its trials trains it anew: of a mix
of 37 MB that took 13 s, and packing it 7, of the 20 s allowed."""
OTHERS = 2.0
"""What a form of another technique may take, as a share of the slowest so far: with 15 s left after
one of 3.4 s, one of letter's took 8 s, and there was no time for a finer one."""

AGAIN = 1.2
"""What making a form of the final bundle takes, as a share of what it took for the one measured,
which was trained on fewer rows."""
PROVING = 3.0
"""What packing, reading and proving the final bundle takes, as a share of what measuring it does:
its file is unpacked again, its trees are held against a reference, and its answers against those of
the whole. Of letter's 13,649 trees that was 12 s and 3, and of others less."""


def remaining(allowed: float | None, started: float) -> Callable[[], float] | None:
    """Return what tells how many are left of the seconds allowed since a start; see `SURE`.

    None where ``allowed`` is. ``started`` is of `time.monotonic`. It is asked first when the bundle
    has been measured as it is.
    """
    if allowed is None:
        return None
    until: list[float] = []

    def left() -> float:
        if not until:
            until.append(max(started + allowed, time.monotonic() + SURE * allowed))
        return until[0] - time.monotonic()

    return left


@dataclass(slots=True, kw_only=True)
class Schedule:
    """What is left of the time, and what forms took so far.

    Attributes
    ----------
    left : callable or None
        Returns the seconds that are left; None where the clock is not to decide.
    most : int or None
        Recipes of a technique at most.
    left_out : list of str
        What was not measured, and why.
    took, first : dict of str to float
        What the last form of a technique took, as far as the next will, and what making the first
        one took.
    measuring : dict of str to float
        What measuring the first one took.
    measured : sequence of (int, float)
        Grows with each form that is measured; see `raymm.compression.judging.Judge.took`.
    good : set of str
        Techniques of which a form is good: these the final bundle is likely to go through.
    whole : float
        The seconds that measuring the bundle as it is took, without its rows' times.
    """

    left: Callable[[], float] | None = None
    most: int | None = None
    left_out: list[str] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    measuring: dict[str, float] = field(default_factory=dict)
    measured: Sequence[tuple[int, float]] = ()
    good: set[str] = field(default_factory=set)
    reserve: float = 0.0
    whole: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether the clock decides."""
        return self.left is not None

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.left is not None and self.left() <= 0

    @property
    def affordable(self) -> bool:
        """Whether a first form of the most promising technique, and a final one, find time."""
        return not self.over and (self.left is None or self.left() >= WORTH * self.whole)

    @property
    def short(self) -> bool:
        """Whether there is no time for forms that are likely to lose too much."""
        return self.bounded and self.free < SHORT * self.whole

    def hurried(self, forms: int) -> bool:
        """Whether there is hardly time for so many more of another technique."""
        slowest = max(self.took.values(), default=0.0)
        return self.bounded and self.free < OTHERS * forms * slowest

    @property
    def free(self) -> float:
        """The seconds for more forms: the final bundle is made once more as the first good ones
        were, and proven once.

        Infinite where the clock does not decide.
        """
        if self.left is None:
            return float("inf")
        return self.left() - self._final(self.good)

    def _final(self, names: set[str]) -> float:
        """Return the seconds that a final bundle takes which goes through techniques."""
        made = sum(self.first.get(name, 0.0) for name in names)
        proven = max((self.measuring.get(name, 0.0) for name in names), default=0.0)
        return AGAIN * made + PROVING * proven

    def keep(self, some: bool) -> None:
        """Keep `LATER` of what is left for others that come, or nothing any more."""
        self.reserve = LATER * self.left() if some and self.left is not None else 0.0

    def some(self, recipes: Sequence[Config], finer: int = 0) -> tuple[list[Config], int]:
        """Return at most `most` recipes, and the place of the middle of those after ``finer``.

        Those between the first and the last are evenly apart. Where there is time for few, one of
        the ``finer`` ones in front, which are left to the end, comes before the others.

        >>> letters = [{"is": letter} for letter in "abcdefg"]
        >>> Schedule().some(letters, 2)[1]
        4
        >>> [one["is"] for one in Schedule(most=3).some(letters, 2)[0]]
        ['b', 'd', 'g']
        """
        if self.most is None:
            first = (len(recipes) - finer) // 2
            # Without time to come back, one that is too coarse would leave nothing.
            first = 0 if self.hurried(1 + first) else first
            return list(recipes), finer + first
        left = [*recipes[:finer][finer // 2 :][:1], *recipes[finer:]]
        if len(left) > self.most:
            places = np.linspace(0, len(left) - 1, self.most).round().astype(int)
            left = [left[place] for place in places]
        return left, len(left) // 2

    def allows(
        self,
        name: str,
        recipe: Config,
        extra: float = 0.0,
        *,
        due: bool = False,
        least: float = 0.0,
    ) -> bool:
        """Say whether there is time for a form; one for which there is none is noted.

        One that is ``due`` has its time in any case. ``least`` is what it takes at least.

        It is taken to last as long as the last of its technique, which was larger, or as the
        shortest of all where it is the first, and ``extra`` on top: the first of a technique may
        have prepared what others only use. It is of use only if time is left to make the final
        bundle like it.
        """
        if self.left is None or due:
            return True
        shortest = min(self.took.values(), default=0.0)
        needed = max(self.took.get(name, shortest) + extra, least)
        final = max(self._final(self.good), self._final({name}))
        free = self.left() - final - self.reserve
        if needed <= free and free > 0:
            return True
        why = f"it would take {needed:.2g} s of the {free:.2g} s there are"
        self.leave_out(name, recipe, why if free > 0 else "no time is left for it")
        return False

    def found(self, name: str) -> None:
        """Note that a technique has a form that is good."""
        self.good.add(name)

    def leave_out(self, name: str, recipe: Config, why: str) -> None:
        """Note a form that is not measured."""
        self.left_out.append(f"{told(name, recipe)}: {why}")

    @contextmanager
    def timed(self, name: str, later: float = 1.0) -> Iterator[None]:
        """Note how long a form of a technique takes; the next is likely to take ``later`` of it."""
        before, known = self.left() if self.left is not None else 0.0, len(self.measured)
        done = False
        try:
            yield
            done = True
        finally:
            if self.left is not None:
                taken = before - self.left()
                measuring = sum(seconds for _, seconds in self.measured[known:])
                self.took[name] = later * taken
                if done:
                    self.first.setdefault(name, max(0.0, taken - measuring))
                    self.measuring.setdefault(name, min(taken, measuring))

    @contextmanager
    def tried(self, name: str, recipe: Config) -> Iterator[None]:
        """Note a form that cannot be made, whatever its technique or a library raises."""
        try:
            yield
        except Interrupted:
            raise
        except Exception as error:  # of any library; the other forms are as good without this one
            self.leave_out(name, recipe, f"it could not be made: {reason(error)}")


def reason(error: Exception) -> str:
    r"""Write what went wrong in a line.

    >>> reason(ValueError("no rows\nat all"))
    'ValueError: no rows'
    """
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first[:300]}".rstrip(": ")


def told(name: str, recipe: Config) -> str:
    """Write a form in a few words.

    >>> told("prune", {"size": 0.15}), told("none", {})
    ('prune size=0.15', 'none')
    """
    parts = [name, *(f"{key.rpartition('.')[2]}={value}" for key, value in recipe.items())]
    return " ".join(parts)
