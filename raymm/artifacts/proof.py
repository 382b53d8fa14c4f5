"""Scores, blessings, explanations and audits."""

from __future__ import annotations

from dataclasses import dataclass

from raymm.artifacts.kinds import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric with its confidence interval [low, high] at ``level``."""

    metric: str
    value: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceScore:
    """The goal's metric on the rows where ``column`` holds ``value`` (a word or a range).

    ``champion_gain`` is the paired difference to the champion on these rows, positive is better,
    with an interval widened for the number of slices looked at (Bonferroni).
    """

    column: str
    value: str
    rows: int
    score: Score
    champion_gain: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A bundle's scores on the test rows.

    Attributes
    ----------
    score : Score
        The goal's metric.
    others : tuple of Score
        The task's other metrics.
    baseline : float
        The goal's metric of the trivial prediction (class frequencies or mean of the training
        target) on the same rows.
    gain : Score
        Paired difference to that baseline, positive is better.
    champion : str
        The reigning champion it was compared with (``name@number``), or empty.
    champion_gain : Score or None
        Paired difference to that champion on the same rows, positive is better.
    reported : Score or None
        ``score`` with the interval that a person is told, at 95 % from both ends; that of
        ``score`` itself has the level at which a blessing decides.
    """

    direction: Direction
    rows: int
    score: Score
    others: tuple[Score, ...]
    baseline: float
    gain: Score
    champion: str = ""
    champion_gain: Score | None = None
    slices: tuple[SliceScore, ...] = ()
    reported: Score | None = None
    version: int = 1

    @property
    def told(self) -> Score:
        """The goal's metric as a person is told it; ``score`` in records without ``reported``."""
        return self.reported or self.score


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a blessing, as a sentence with its figures; a ``note`` decides nothing."""

    name: str
    passed: bool
    statement: str
    note: bool = False

    @property
    def word(self) -> str:
        """What became of it, in one word."""
        return "note" if self.note else "passed" if self.passed else "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blessing:
    """Whether a model may be promoted, and the checks that say so."""

    blessed: bool
    checks: tuple[Check, ...]
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much worse the metric gets when a column is shuffled, with its interval."""

    column: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the served bundle's predictions rest on.

    Attributes
    ----------
    importance : tuple of Importance
        By raw column, most important first; of a very wide table the leading columns alone.
    columns : tuple of str
        The raw columns, in the order of ``contributions``.
    contributions : tuple of tuple of float, shape (rows, columns)
        Contribution of each column to each explained row's output.
    base : float
        The output that contributions add to.
    outputs : tuple of float, shape (rows,)
        ``base`` plus the sum of the row's contributions.
    unit : str
        Of the output: "log-odds", "probability of CLASS" or the target's name.
    method : str
        How contributions were computed.
    """

    importance: tuple[Importance, ...]
    columns: tuple[str, ...]
    contributions: tuple[tuple[float, ...], ...]
    base: float
    outputs: tuple[float, ...]
    unit: str
    method: str
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The metric by group of each protected column, with the widest gap of each column."""

    groups: tuple[SliceScore, ...]
    gaps: tuple[Score, ...]
    version: int = 1
