"""Prunes ensembles of trees: fewer trees and nodes, with the leaves fitted again.

First goes what changes no answer (`raymm.compression.simplify`). Then subtrees are replaced by
leaves where margins change least (`raymm.compression.collapse`), and what is left is fitted again
towards the margins of the whole ensemble on the training rows, with one step towards what the rows
truly are where the graph answers with nothing but this ensemble and features tell nothing of the
target (`raymm.compression.refit`, `TRUE_KINDS`). Sizes below `CHAIN`'s first go through the larger
ones of it; going there in many small steps, or in one, lost more. Each ensemble of a mix is pruned
towards its own margins, and what follows the trees in the graph stays as it is.

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.collapse import collapsed
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.grove import Floats, Grove, Reached, reach
from raymm.compression.refit import corrected, margins, refitted
from raymm.compression.simplify import simplify
from raymm.compression.tap import tapped, tree_nodes
from raymm.errors import BundleError
from raymm.plugins import compressor

SIZES = (0.5, 0.3, 0.15, 0.07)
"""Shares of the nodes that are tried, besides what simplifying alone gives."""
CHAIN = (0.3, 0.15, 0.07)
CELLS = 20_000_000
"""Rows times leaf values that a row reaches, at most: 40,000 rows of 500 trees. Rows beyond it are
left out at random; below `LEAST_ROWS` nothing but simplifying is tried."""
MOST_ROWS = 40_000
LEAST_ROWS = 500
LEAST_NODES = 50
"""Nodes below which nothing but simplifying is tried: a file holds other things too."""
WIDEST = 4
"""Values of a leaf beyond which nothing but simplifying is tried: the pure leaves of a forest hold
the few classes that they saw, and one that stands for many of them holds a value for each. Of a
forest of 26 classes 30 % of the nodes took four times the bytes of all of them."""
LARGEST = 5_000_000
"""Nodes times values of a leaf beyond which not even simplifying is tried."""
LARGE = 100_000
LARGE_SIZES = (0.3, 0.07)
"""Fewer sizes where there are more nodes than that: packing each then takes seconds."""
FLOOR = 0.3
"""Added to the weights of rows, of mean 1, where margins become probabilities by a sigmoid or a
softmax: sure rows weigh little in their loss, but pruned trees must not forget them."""
TRUE_KINDS = frozenset({"number", "boolean", "datetime"})
"""Kinds of columns beside which a step towards what rows truly are is taken. Features of categories
may be statistics of the target, in which the rows that a bundle was trained on see what they are:
on the table adult that step lost 0.003 of AUC that distilling alone did not."""
_SAME = 1e-3
"""Difference of answers up to which they follow from one ensemble's margins alone."""


@dataclass(frozen=True, slots=True)
class _Lesson:
    """A whole ensemble and what its pruned forms are to answer; arrays as `refitted` takes them.

    ``truth`` is what rows truly are, in the unit of margins, or None where that is not known.
    """

    whole: Grove
    reached: Reached
    target: Floats
    weight: Floats
    truth: Floats | None
    logits: bool


@dataclass(slots=True)
class _Path:
    """The pruned forms of one bundle on the same rows, as far as they were asked for."""

    bundle: Bundle
    rows: Rows
    forms: dict[float, Sequence[Grove]] = field(default_factory=dict)
    lessons: Sequence[_Lesson] = ()
    chain: Iterator[tuple[float, Sequence[Grove]]] = field(default_factory=lambda: iter(()))


@compressor("prune")
class Prune(Compressor):
    """The share ``size`` of the nodes; 1 takes only what changes no answer."""

    order = 10

    def __init__(self) -> None:
        self._path: _Path | None = None

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling sizes; none for graphs without trees, or with more than `LARGEST`.

        1 is among them where something goes that changes no answer.
        """
        _, nodes = tree_nodes(bundle)
        groves = [_grove(node) for node in nodes]
        count = sum(len(grove.feature) for grove in groves)
        if not groves or sum(grove.value.size for grove in groves) > LARGEST:
            return ()
        simple = self._known(bundle, rows).forms.setdefault(1.0, [simplify(g) for g in groves])
        left = sum(len(grove.feature) for grove in simple)
        sizes = [1.0] if left < count else []
        least = max(1, min(LEAST_ROWS, len(rows.y)))
        narrow = all(grove.outputs.shape[1] <= WIDEST for grove in simple)
        if (
            left >= LEAST_NODES
            and narrow
            and all(_sample(grove, rows) >= least for grove in simple)
        ):
            sizes += LARGE_SIZES if left > LARGE else SIZES
        return tuple({"size": size} for size in sizes)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with the share ``recipe["size"]`` of its nodes.

        Raises
        ------
        BundleError
            When the graph holds no trees of ours, or ``size`` is not above 0 and at most 1.
        """
        size = float(recipe.get("size") or 0.0)
        model, nodes = tree_nodes(bundle)
        if not nodes or not 0 < size <= 1:
            raise BundleError(
                "prune needs a graph with trees and a size above 0 and at most 1, but got "
                f"{size if nodes else 'no trees'}. Choose another technique."
            )
        forms = self._known(bundle, rows).forms
        if size not in forms:
            self._walk(bundle, rows, size)
        for node, grove in zip(nodes, forms[size], strict=True):
            node.CopyFrom(grove.ensemble().to_node(node))
        return replace(bundle, graph=bytes(model.SerializeToString(deterministic=True)))

    def _known(self, bundle: Bundle, rows: Rows) -> _Path:
        path = self._path
        if path is None or path.bundle.graph != bundle.graph or path.rows is not rows:
            self._path = path = _Path(bundle, rows)
        return path

    def _walk(self, bundle: Bundle, rows: Rows, size: float) -> None:
        """Make the forms of this size, and of those in the chain that lead to it."""
        path = self._known(bundle, rows)
        model, nodes = tree_nodes(bundle)
        if 1.0 not in path.forms:
            path.forms[1.0] = [simplify(_grove(node)) for node in nodes]
        if size == 1.0:
            return
        if not path.lessons:
            path.lessons = [
                _lesson(path, whole, node, model)
                for whole, node in zip(path.forms[1.0], nodes, strict=True)
            ]
            path.chain = _shrunk(path.lessons, CHAIN)
        if size in CHAIN:
            made = path.chain
        else:
            made = _shrunk(path.lessons, (*(one for one in CHAIN if one > size), size))
        for one, groves in made:
            path.forms[one] = groves
            if one == size:
                break


def _lesson(path: _Path, whole: Grove, node: Any, model: Any) -> _Lesson:
    """Ask an ensemble, and the graph that it stands in, for what a sample of rows gives."""
    rows, count = path.rows, _sample(whole, path.rows)
    chosen = np.random.default_rng(rows.seed).choice(len(rows.y), count, replace=False)
    chosen.sort()
    tensors = {name: values[chosen] for name, values in rows.tensors.items()}
    reached = reach(whole, tapped(path.bundle, node.input[0], tensors))
    target = margins(whole, reached)
    weight = np.ones_like(target)
    users = {one.op_type for one in model.graph.node if node.output[0] in one.input}
    logits = bool(users & {"Sigmoid", "Softmax"})
    if logits:
        weight = _curvature(target)
        weight = weight / weight.mean() + FLOOR
        weight /= weight.mean()
    truth = None
    if {column.kind for column in path.bundle.schema.features} <= TRUE_KINDS:
        answers = Runner(path.bundle).predict(tensors)
        truth = _truth(target, answers, rows.y[chosen], logits)
    return _Lesson(whole, reached, target, weight, truth, logits)


def _truth(
    target: Floats, answers: npt.NDArray[np.float32], y: npt.NDArray[Any], logits: bool
) -> Floats | None:
    """Return what rows truly are in the unit of margins, shape (1, n).

    None where margins, shape (outputs, n), are of several outputs, or what the graph answers
    follows from others too, as in a mix.
    """
    if len(target) > 1:
        return None
    if answers.ndim == 2:
        same = logits and np.abs(expit(target[0]) - answers[:, -1]).max() < _SAME
        return y[None].astype(np.float64) if same else None
    middle, spread = float(target.mean()), float(target.std())
    if spread == 0:
        return None
    slope = float(np.mean((target[0] - middle) * answers)) / spread**2
    shift = float(answers.mean()) - slope * middle
    apart = np.abs(slope * target[0] + shift - answers).max()
    if slope <= 0 or apart > _SAME * np.std(answers):
        return None
    return np.asarray((y[None] - shift) / slope, np.float64)


def _shrunk(
    lessons: Sequence[_Lesson], sizes: Sequence[float]
) -> Iterator[tuple[float, Sequence[Grove]]]:
    """Yield falling shares of the nodes, and the ensembles at each, made of those before."""
    at = [(one.whole, one.reached) for one in lessons]
    for size in sizes:
        for place, one in enumerate(lessons):
            nodes = max(3, int(size * len(one.whole.feature)))
            grove, reached = collapsed(*at[place], one.weight, nodes)
            at[place] = refitted(grove, reached, one.target, one.weight), reached
        yield (
            size,
            [
                grove
                if one.truth is None
                else corrected(grove, reached, one.truth, logits=one.logits)
                for (grove, reached), one in zip(at, lessons, strict=True)
            ],
        )


def _curvature(target: Floats) -> Floats:
    """Return p (1 - p) of the probabilities that margins, shape (outputs, n), stand for."""
    raised = np.vstack([target, np.zeros_like(target)]) if len(target) == 1 else target
    power = np.exp(raised - raised.max(axis=0))
    share: Floats = (power / power.sum(axis=0))[: len(target)]
    return share * (1 - share) + np.finfo(np.float64).tiny


def _sample(grove: Grove, rows: Rows) -> int:
    """Return how many rows the grove is fitted to."""
    return int(min(len(rows.y), MOST_ROWS, CELLS // max(1, grove.outputs.size)))


def _grove(node: Any) -> Grove:
    from raymm.models.trees import TreeEnsemble

    return Grove.of(TreeEnsemble.from_node(node))
