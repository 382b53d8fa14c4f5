"""Distils a bundle into small trees or a small network that learn from what it says.

A student reads the same raw columns and makes the same outputs, with features of its own, so it
stands for an ensemble as well as for a single model. It is chosen only where it beats, on
validation rows, what `raymm.compression.retrain` makes of the same recipe: the same model trained
on the true labels of the same rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raymm.artifacts import Config, Schema
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import adversarial, check
from raymm.bundle.pipeline import Pipeline
from raymm.bundle.run import Runner
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.network import networks
from raymm.compression.students import student
from raymm.compression.tap import tree_nodes
from raymm.compression.teaching import Lesson, lesson_of
from raymm.errors import BundleError
from raymm.features.onehot_category import LARGEST as LEVELS
from raymm.features.text import LARGEST as WORDS
from raymm.plugins import compressor

TREES = ((150, 16), (60, 16), (30, 8))
"""Rounds and leaves of students, the largest first."""
UNITS = (32, 12)
"""Units of the hidden layer of students that are networks."""
CLOSE = 1.5
"""Two networks are too close for one between them where one has up to so many times the units."""
SMALLER = 0.5
"""A student has at most this share of the teacher's nodes of trees, or of its weights."""
LEAST_GRAPH = 20_000
"""Bytes of a graph without trees or networks from which on trees are tried."""
LEAST_HELD = 1000
"""Nodes or weights of a bundle from which on networks are tried: operators take their bytes too."""
LEAST_ROWS = 200
MOST_OUTPUTS = 100
"""Classes beyond which no student is tried: each round makes a tree for each."""
MOST_TREES = 3000
HARD_ROWS = 200


@compressor("distill")
class Distill(Compressor):
    """A student of ``rounds`` rounds of trees of ``leaves`` leaves, or of ``units`` units."""

    order = 30
    control = "retrain"

    def __init__(self) -> None:
        self._known: tuple[bytes, Rows, Lesson] | None = None

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return sizes of students smaller than the bundle; see `sizes`."""
        return sizes(bundle, rows)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the student of a bundle.

        Raises
        ------
        BundleError
            When the recipe names no size, or there are no rows.
        ParityError
            When the student's graph does not say what the student says.
        """
        require_size(recipe, rows)
        known = self._known
        if known is None or known[0] != bundle.graph or known[1] is not rows:
            self._known = known = (bundle.graph, rows, lesson_of(bundle, rows))
        return bundle_of(bundle, student(bundle.schema, known[2], recipe, seed=rows.seed), rows)

    def between(self, good: Config | None, bad: Config) -> Config | None:
        """Return the network whose units are halfway, by their ratio; of trees there is none."""
        most, least = (None if one is None else one.get("units") for one in (good, bad))
        if not isinstance(most, int) or not isinstance(least, int) or most <= CLOSE * least:
            return None
        return {"units": round((most * least) ** 0.5)}

    def foreseen(self, bundle: Bundle, rows: Rows) -> float:
        """Return what training for out-of-fold labels takes, now and for the final bundle."""
        return 2 * rows.soft_seconds


def sizes(bundle: Bundle, rows: Rows) -> tuple[Config, ...]:
    """Return sizes of trees and then of networks, the largest of each first.

    Trees where the graph has trees, or is large without being a network; networks where it has
    trees, or a network with a hidden layer. A network reads every word of a text, and each takes
    its bytes, where trees read a few: in a table with a column of text, trees alone ask for none.
    """
    outputs = max(1, len(bundle.schema.classes)) if len(bundle.schema.classes) != 2 else 1
    if len(rows.y) < LEAST_ROWS or outputs > MOST_OUTPUTS:
        return ()
    model, nodes = tree_nodes(bundle)
    count = sum(len(one.ints) for node in nodes for one in node.attribute if one.name == _NODES)
    deep = [one for one in networks(model) if one.activations]
    found: list[Config] = []
    if not nodes and not deep and len(bundle.graph) >= LEAST_GRAPH:
        count = len(bundle.graph) // 8
    for most, leaves in TREES:
        rounds = max(4, round(most / np.sqrt(outputs)))
        trees = rounds * outputs
        if trees <= MOST_TREES and trees * (2 * leaves - 1) <= SMALLER * count:
            found.append({"rounds": rounds, "leaves": leaves})
    inputs = _inputs(bundle.schema)
    if deep:
        inputs = min(inputs, sum(one.layers[0].matrix.shape[0] for one in deep))
    wordy = any(one.kind == "text" for one in bundle.schema.features)
    held = max(count if nodes and not wordy else 0, sum(one.size for one in deep))
    if held >= LEAST_HELD:
        found += [{"units": one} for one in UNITS if one * (inputs + outputs) <= SMALLER * held]
    return tuple(found)


_NODES = "nodes_nodeids"
_FEATURES = {"number": 1, "boolean": 1, "datetime": 8, "category": 1, "text": WORDS}


def _inputs(schema: Schema) -> int:
    """Return about how many features a network's student reads."""
    levels = sum(min(len(one.categories), LEVELS) for one in schema.features)
    return sum(_FEATURES[one.kind] for one in schema.features) + levels


def require_size(recipe: Config, rows: Rows) -> None:
    """Raise BundleError where a recipe names no size of a student, or there are no rows."""
    trees = [recipe.get(key) for key in ("rounds", "leaves")]
    given: list[Any] = [recipe["units"]] if "units" in recipe else trees
    if not len(rows.y) or not all(isinstance(one, int) and 1 < one <= 10_000 for one in given):
        raise BundleError(
            "a student needs rows to learn from, and rounds and leaves or units from 2 to 10,000, "
            f"but got {dict(recipe)} and {len(rows.y)} rows. Choose another technique."
        )


def bundle_of(bundle: Bundle, made: Pipeline, rows: Rows) -> Bundle:
    """Return a bundle that says what a student says, in the place of another; proven on hard rows.

    Raises
    ------
    ParityError
        When graph and student differ by more than `raymm.bundle.parity.BOUND`.
    """
    small = replace(bundle, graph=to_graph(made, bundle.schema.decision))
    generator = np.random.default_rng([rows.seed, 12])
    hard = adversarial(rows.tensors, bundle.schema, generator=generator, count=HARD_ROWS)
    check(made, Runner(small), hard, spread=float(np.std(rows.y)))
    return small
