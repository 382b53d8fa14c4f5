"""Tries techniques on one form: those whose forms can be foretold, and the others by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Candidate, Config
from raymm.bundle.blend import decided
from raymm.compression.applying import bounded_moves, joined_recipe
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.judging import Form, Judge
from raymm.compression.schedule import Schedule, told
from raymm.plugins import compressors

LEAST = 2
"""Recipes of a technique that are tried in any case."""
OPENING = 0.8
"""Share of the allowed loss up to which a form is one that others are tried on."""
FURTHER = 0.5
"""Share of the allowed loss up to which the next recipe is tried where time is short: each form
that is measured widens the bounds of all."""
BISECTED = 2
"""Recipes between one that is good and the next that are tried."""
FAILURES = 2
"""Forms of a technique that could not be made, after which no more of it are tried."""


def opened(
    whole: Form,
    techniques: Mapping[str, Compressor],
    trained: Rows,
    judge: Judge,
    plan: Schedule,
    unmade: list[npt.NDArray[np.float64]],
) -> list[Form]:
    """Return the smallest good form of techniques that open, if any; add others' losses to unmade.

    Forms are looked at from the smallest on, and the first is made that surely leaves others some
    of the loss that is allowed (`OPENING`).
    """
    for name, one in techniques.items():
        with plan.tried(name, {}):
            recipes = one.recipes(whole.bundle, trained)
            if not recipes:
                continue
            answer = one.foretold(whole.bundle, judge.tensors)
            for recipe in recipes:
                if plan.over:
                    plan.leave_out(name, recipe, "this form and all after it found no time")
                    break
                answers = answer(recipe)
                prediction = decided(answers, whole.bundle.schema.decision)
                _, loss, losses, _ = judge.lost(prediction)
                spoilt = judge.beside is not None and judge.beside(answers)
                if (
                    not spoilt
                    and loss.high <= OPENING * judge.allowed
                    and plan.allows(name, recipe)
                ):
                    made = one.apply(whole.bundle, recipe, trained)
                    with plan.timed(name):
                        form = judge.measured(name, recipe, made)
                    plan.found(name)
                    return [form]
                unmade.append(losses)
    return []


def recipes_of(
    base: Form, named: tuple[str, Compressor], trained: Rows, plan: Schedule
) -> tuple[list[Config], int]:
    """Return the recipes of a technique for a form, and the middle; see `Schedule.some`."""
    name, technique = named
    found: list[Config] = []
    with plan.tried(name, {}):
        found += technique.recipes(base.bundle, trained)
    return plan.some(found, technique.finer)


def alone(
    base: Form,
    techniques: Mapping[str, Compressor],
    trained: Rows,
    judge: Judge,
    plan: Schedule,
) -> Iterator[Form]:
    """Yield what each technique makes of a form, and what its control makes of it."""
    controls = {one.control for one in techniques.values()}
    ordered = sorted(techniques.items(), key=lambda item: (item[1].order, item[0]))
    for place, named in enumerate(ordered):
        if named[0] not in controls:
            yield from _sizes(base, named, trained, judge, plan, promising=place == 0)


@dataclass(slots=True)
class _Way:
    """Which recipes of a technique come next, as far as those before tell.

    Attributes
    ----------
    recipes : list of Config
        Those to be tried, in their order.
    finer : list of Config
        Those in front of the first one, tried backwards as long as none is good.
    left : int
        How many more may lie between others.
    sought : bool
        Whether the next one is finer than the last, which lost too much or found no time.
    good, bad : Config or None
        The last that was good, and the last that was not.
    passed : list of Config
        Those that were taken from ``finer``, whose forms are made on the way to coarser ones.
    """

    technique: Compressor
    recipes: list[Config]
    finer: list[Config]
    left: int
    sought: bool = False
    good: Config | None = None
    bad: Config | None = None
    passed: list[Config] = field(default_factory=list)

    @classmethod
    def of(cls, technique: Compressor, recipes: list[Config], plan: Schedule) -> _Way:
        """Begin with the first recipe, or in the middle; see `Compressor.chained`."""
        middle = technique.chained and plan.bounded and not plan.short and recipes
        first = (len(recipes) - 1) // 2 if middle else 0
        left = BISECTED if plan.most is None or plan.most > LEAST else 0
        return cls(technique, recipes[first:], recipes[:first], left)

    def made(self, recipe: Config) -> bool:
        """Whether a recipe's form was made on the way to one that lost too much."""
        return self.sought and self.good is None and recipe in self.passed

    def refuse(self) -> None:
        """Choose what comes after a recipe that gave no form, as there was no time or it failed."""
        if self.sought and self.good is None and not self.recipes:
            self._back()

    def _back(self) -> None:
        """Go back to the last of the finer ones, if there is one."""
        if self.finer:
            self.recipes, self.sought = [self.finer.pop()], True
            self.passed.append(self.recipes[0])

    def fail(self, *, over: bool) -> None:
        """Choose what comes after a recipe that could not be made: a finer one where it is over."""
        if over:
            self.recipes = [self.finer.pop()] if self.finer and self.good is None else []
            self.sought = True
        else:
            self.refuse()

    def learn(self, recipe: Config, *, good: bool, near: bool) -> None:
        """Choose what comes after a recipe that was good, or was not.

        One that is ``near`` loses no more than is allowed, only not surely: what comes next is
        halfway to the finer one, for which there may be no time once that was tried.
        """
        came_back = self.good is None and self.bad is not None
        if good:
            self.good, self.finer = recipe, []
        else:
            self.bad = recipe
            if self.good is None and self.finer:
                between = self.technique.between(self.finer[-1], recipe) if near else None
                if between is None or not self.left:
                    self._back()
                else:
                    self.recipes, self.left, self.sought = [between], self.left - 1, True
                return
        if self.bad is None or (good and not came_back) or not self.left:
            return
        if (between := self.technique.between(self.good, self.bad)) is not None:
            self.recipes, self.left, self.sought = [between], self.left - 1, True


def _sizes(
    base: Form,
    named: tuple[str, Compressor],
    trained: Rows,
    judge: Judge,
    plan: Schedule,
    *,
    promising: bool,
) -> Iterator[Form]:
    """Yield a technique's forms of another, and what its control makes of it."""
    name, one = named
    way, failed = _Way.of(one, recipes_of(base, named, trained, plan)[0], plan), 0
    before: Form | None = None
    while way.recipes:
        recipe = way.recipes.pop(0)
        joined, parameters = joined_recipe(base.candidate, name, recipe)
        if before and plan.bounded and not way.sought and _passed_over(before, parameters, judge):
            plan.leave_out(joined, parameters, _why(name, before.candidate, judge))
            continue
        extra = 0.0 if before else one.foreseen(base.bundle, trained)
        # The most promising one is tried as long as any time is left, and a finer one that was made
        # on the way to it: nothing else may be good.
        due = way.made(recipe) or (promising and before is None and not extra and plan.affordable)
        if not plan.allows(name, recipe, extra, due=due):
            way.refuse()
            continue
        made: list[Form] = []
        later = one.later if before is None else 1.0
        with plan.tried(joined, parameters), plan.timed(name, later):
            made = list(forms_of(base, named, recipe, trained, judge))
        if not made:
            failed += 1
            way.fail(over=failed >= FAILURES)
            continue
        before = made[0]
        yield from made
        good = judge.good(before.candidate)
        if good:
            plan.found(name)
        rest = [(other, "a smaller one is good") for other in way.finer if good]
        way.learn(recipe, good=good, near=before.candidate.loss.value <= judge.allowed)
        if good and plan.bounded and before.candidate.loss.high > FURTHER * judge.allowed:
            coarser = [other for other in way.recipes if recipe.keys() <= other.keys()]
            rest += [(other, "the one before loses much already") for other in coarser]
            way.recipes = [other for other in way.recipes if other not in coarser]
        for other, why in rest:
            plan.leave_out(*joined_recipe(base.candidate, name, other), why)
    for other in way.finer:
        why = "coarser ones come first, and found no time"
        plan.leave_out(*joined_recipe(base.candidate, name, other), why)


def _why(name: str, before: Candidate, judge: Judge) -> str:
    """Say why the form before is hopeless, and so a smaller one of its kind is."""
    why = judge.spoilt.get(told(before.technique, before.parameters), "surely loses too much")
    return f"{told(name, before.parameters)}: {why}"


def _passed_over(before: Form, parameters: Config, judge: Judge) -> bool:
    """Whether the form before surely loses too much, and so a smaller one of its kind does."""
    alike = before.candidate.parameters.keys() <= parameters.keys()
    return alike and judge.hopeless(before.candidate)


def forms_of(
    base: Form, named: tuple[str, Compressor], recipe: Config, trained: Rows, judge: Judge
) -> Iterator[Form]:
    """Yield a technique's form of another, and that of its control where it has one."""
    name, technique = named
    joined, parameters = joined_recipe(base.candidate, name, recipe)
    near = bounded_moves(base.candidate, technique, recipe)
    made = technique.apply(base.bundle, recipe, trained)
    form = judge.measured(joined, parameters, made, bounded_moves=near)
    if not technique.control:
        yield form
        return
    control = compressors.get(technique.control)()
    joined, parameters = joined_recipe(base.candidate, technique.control, recipe)
    near = bounded_moves(base.candidate, control, recipe)
    made = control.apply(base.bundle, recipe, trained)
    other = judge.measured(joined, parameters, made, bounded_moves=near)
    yield judge.compared(form, other)
    yield other
