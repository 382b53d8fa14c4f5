"""Prunes ensembles of trees: fewer trees and nodes, with the leaves fitted again.

First goes what changes no answer (`raymm.compression.simplify`). Then subtrees are replaced by
leaves where margins change least (`raymm.compression.collapse`), and what is left is fitted again
towards the margins of the whole ensemble on the training rows, with one step towards what the rows
truly are (see `raymm.compression.lessons`). Sizes below `CHAIN`'s first go through the larger ones
of it; going there in many small steps, or in one, lost more. Members of a mix whose margins are
added up are one ensemble (`raymm.compression.join`); of others each is pruned towards its own
margins, and what follows the trees in the graph stays as it is. Forests of a mix whose leaves hold
many values keep their first trees: 15 % of 100 trees of 26 classes, a third of a mix, cost it
0.05 % of accuracy, as much as pruning them to as many bytes.

What is lost on rows that neither training nor pruning saw, with 30, 15 and 7 % of the nodes of
trees of 63 leaves, beside the same share of first trees ("cut"), those with their leaves fitted
again in the same way, and the best of six smaller models trained on the same rows:

=============================  =====================  ===================  ===================
table                          pruned                 cut, fitted again    smaller models
=============================  =====================  ===================  ===================
made, 500 trees, AUC 0.906     -0.007, -0.001, 0.011  -0.002, 0.004, 0.027 0.007, 0.013, 0.028
california_housing, 500, R2    0.000, 0.005, 0.009    0.000, 0.007, 0.023  0.006, 0.010, 0.016
adult, 100 trees, AUC 0.925    0.001, 0.002, 0.003    0.005, 0.007, 0.010  0.000, 0.000, 0.004
=============================  =====================  ===================  ===================

Cut alone they lose 0.015, 0.030, 0.061; 0.011, 0.034, 0.103; and 0.007, 0.010, 0.013. Where few
trees do, as for adult, a smaller model is as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression import unread_sets
from raymm.compression.collapse import collapsed
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.grove import Grove, Reached
from raymm.compression.lessons import Lesson, lesson_of, sample
from raymm.compression.refit import corrected
from raymm.compression.seen import plain_columns
from raymm.compression.simplify import simplify
from raymm.compression.solve import CROWD, MANY, RIDGE, RIDGE_OF_CLASSES, RIDGE_OF_CROWDS, solved
from raymm.compression.tap import ensemble_of, trees_in
from raymm.compression.truncate import kept_rounds
from raymm.compression.units import Unit, units, write
from raymm.errors import BundleError
from raymm.plugins import compressor

SIZES = (0.5, 0.3, 0.15, 0.07)
"""Shares of the nodes that are tried, besides what simplifying alone gives."""
CHAIN = (0.3, 0.15, 0.07, 0.03, 0.015)
LEAST_ROWS = 500
LEAST_NODES = 50
"""Nodes below which nothing but simplifying is tried: a file holds other things too."""
WIDEST = 4
"""Values of a leaf beyond which nothing but simplifying is tried: the pure leaves of a forest hold
the few classes that they saw, and one that stands for many of them holds a value for each. Of a
forest of 26 classes 30 % of the nodes took four times the bytes of all of them."""
LARGEST = 5_000_000
"""Nodes times values of a leaf, of the smallest members of a mix together, beyond which larger ones
are not even simplified."""
LARGE = 100_000
LARGE_SIZES = (0.3, 0.15, 0.07, 0.03)
"""Smaller sizes where there are more nodes than that: each then takes seconds."""
SIMPLIFIED = 300_000
"""Nodes up to which what changes no answer is looked for: it takes a second for each 200,000."""
CLOSE = 1.15
"""Sizes of less than this ratio are not told apart."""


@dataclass(slots=True)
class _Path:
    """The pruned forms of one bundle on the same rows, as far as they were asked for.

    Attributes
    ----------
    forms : mapping of size to ensembles
    lessons : list of (Unit, Lesson)
        One of each unit that is pruned.
    states : mapping of size to (Grove, Reached)
        Those in the chain, of each lesson, from which smaller ones are made.
    """

    bundle: Bundle
    rows: Rows
    forms: dict[float, Sequence[Grove]] = field(default_factory=dict)
    lessons: list[tuple[Unit, Lesson]] = field(default_factory=list)
    states: dict[float, list[tuple[Grove, Reached]]] = field(default_factory=dict)


@compressor("prune")
class Prune(Compressor):
    """The share ``size`` of the nodes; 1 takes only what changes no answer."""

    order = 10
    chained = True
    later = 0.3

    def __init__(self) -> None:
        self._path: _Path | None = None

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling sizes; none for graphs without trees, or with none up to `LARGEST`.

        1 is among them where something goes that changes no answer.
        """
        given = units(bundle, joined=False, most=LARGEST)[1]
        groves = [Grove.of(one.trees) for one in given]
        count = sum(len(grove.feature) for grove in groves)
        sizes = []
        if 0 < count <= SIMPLIFIED:
            groves = [simplify(grove) for grove in groves]
            self._known(bundle, rows).forms.setdefault(1.0, groves)
            sizes = [1.0] if sum(len(grove.feature) for grove in groves) < count else []
        plain = [plain_columns(bundle, one.node.input[0]) for one in given]
        able = [g for g, width in zip(groves, plain, strict=True) if _able(g, rows, width)]
        left = sum(len(grove.feature) for grove in able)
        if left >= LEAST_NODES:
            sizes += LARGE_SIZES if left > LARGE else SIZES
        return tuple({"size": size} for size in sizes)

    def between(self, good: Config | None, bad: Config) -> Config | None:
        """Return a size between one that is good, or the whole, and one that is not."""
        high, low = (float((one or {}).get("size") or 1.0) for one in (good, bad))
        if high < CLOSE**2 * low:
            return None
        return {"size": round(float(np.sqrt(high * low)), 4)}

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with the share ``recipe["size"]`` of its nodes.

        Raises
        ------
        BundleError
            When the graph holds no trees of ours, or ``size`` is not above 0 and at most 1.
        """
        size = float(recipe.get("size") or 0.0)
        model, given = units(bundle, joined=0 < size < 1, most=LARGEST)
        if not given:
            model, given = units(bundle, joined=0 < size < 1)
        if not given or not 0 < size <= 1:
            raise BundleError(
                "prune needs a graph with trees and a size above 0 and at most 1, but got "
                f"{size if given else 'no trees'}. Choose another technique."
            )
        path = self._known(bundle, rows)
        if size == 1.0:
            if size not in path.forms:
                path.forms[size] = [simplify(Grove.of(one.trees)) for one in given]
        else:
            if not path.lessons:
                path.lessons = _lessons(given, path)
            given = [one for one, _ in path.lessons]
            if size not in path.forms:
                path.forms[size] = _pruned(path, size)
        write(model, given, [grove.ensemble() for grove in path.forms[size]])
        if size < 1:
            _thin(model, size, given)
        unread_sets.drop(model)
        return replace(bundle, graph=bytes(model.SerializeToString(deterministic=True)))

    def _known(self, bundle: Bundle, rows: Rows) -> _Path:
        path = self._path
        if path is None or path.bundle.graph != bundle.graph or path.rows is not rows:
            self._path = path = _Path(bundle, rows)
        return path


def _able(grove: Grove, rows: Rows, plain: int | None) -> bool:
    """Return whether there are rows enough to fit a grove's leaves, and few values to a leaf."""
    least = max(1, min(LEAST_ROWS, len(rows.y)))
    return grove.outputs.shape[1] <= WIDEST and sample(grove, rows, plain) >= least


def _thin(model: Any, size: float, pruned: Sequence[Unit]) -> None:
    """Keep the first trees of forests that were not pruned, as too wide, too large, or of too few
    rows.
    """
    done = {one.node.output[0] for one in pruned}
    for node in trees_in(model):
        trees = ensemble_of(node)
        if trees.averaged and node.output[0] not in done:
            node.CopyFrom(trees.first(kept_rounds(trees.rounds, size)).to_node(node))


def _lessons(given: Sequence[Unit], path: _Path) -> list[tuple[Unit, Lesson]]:
    """Return what the units that can be pruned are to answer; all of them where none can."""
    groves = [Grove.of(one.trees) for one in given]
    plain = [plain_columns(path.bundle, one.node.input[0]) for one in given]
    able = [_able(g, path.rows, width) for g, width in zip(groves, plain, strict=True)]
    # Those that nothing joins are simplified already where their sizes were asked for.
    alone = all(one.group is None for one in given)
    known = path.forms.get(1.0) if alone else None
    made = []
    for place, (unit, grove) in enumerate(zip(given, groves, strict=True)):
        if able[place] or not any(able):
            whole = known[place] if known else grove
            if not known and len(grove.feature) <= SIMPLIFIED:
                whole = simplify(grove)
            made.append((unit, lesson_of(unit, whole, path.bundle, path.rows)))
    return made


def _pruned(path: _Path, size: float) -> list[Grove]:
    """Return the groves at a size, made of those at the larger sizes of the chain."""
    at: list[tuple[Grove, Reached]] | None = None
    for one in (*(one for one in CHAIN if one > size), size):
        known = path.states.get(one)
        if known is None:
            known = [
                _shrunk(lesson, None if at is None else at[place], one)
                for place, (_, lesson) in enumerate(path.lessons)
            ]
            if one in CHAIN:
                path.states[one] = known
        at = known
    assert at is not None, "the size is the last of the loop"
    lessons = [lesson for _, lesson in path.lessons]
    return [_towards_truth(one, *state) for one, state in zip(lessons, at, strict=True)]


def _shrunk(lesson: Lesson, at: tuple[Grove, Reached] | None, size: float) -> tuple[Grove, Reached]:
    """Return a share of the whole's nodes, fitted again, made of what is there already."""
    nodes = max(3, int(size * len(lesson.whole.feature)))
    start = (lesson.whole, lesson.reached) if at is None else at
    grove, reached = collapsed(*start, lesson.weight, nodes, lesson.costs)
    few = len(lesson.target) > 1 or reached.shape[1] < MANY
    crowded = not (few or lesson.logits) and np.sum(grove.left < 0) >= CROWD * reached.shape[1]
    ridge = RIDGE_OF_CROWDS if crowded else RIDGE
    if lesson.logits and few:
        ridge = RIDGE_OF_CLASSES
    return solved(grove, reached, lesson.target, lesson.weight, ridge=ridge), reached


def _towards_truth(lesson: Lesson, grove: Grove, reached: Reached) -> Grove:
    if lesson.truth is None:
        return grove
    return corrected(grove, reached, lesson.truth, logits=lesson.logits)
