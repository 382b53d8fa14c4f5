"""What pruned trees are to answer: what the whole did, on the rows that it was trained on.

One step towards what the rows truly are is taken where the answer follows from the ensemble's
margins by a known line, or by a sigmoid or a softmax alone, and where features tell nothing of the
target (`TRUE_KINDS`, `FEW`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, softmax

from raymm.bundle.packed import Bundle
from raymm.compression.compressor import Rows
from raymm.compression.grove import Floats, Grove, Reached, reach
from raymm.compression.parsed import model_of, runner_of
from raymm.compression.seen import Seen, plain_columns, seen
from raymm.compression.sums import margins
from raymm.compression.tap import tapped
from raymm.compression.units import Unit

CELLS = 64_000_000
"""Rows times leaf values that a row reaches in the whole, at most; they take 256 MB, or twice
that (`SEVERAL`). Rows beyond it
are left out at random. With fewer rows than leaves, nodes go that other rows need: of 5,512 trees
of 26 classes, 15 % of the nodes lost 1 % of accuracy where 1,800 rows said which."""
SEVERAL = 2
"""Times as many where there are several outputs, as leaves are fitted to one of them after another:
of 20,462 trees of 26 classes, 30 % of the nodes lost 0.9 % of accuracy where 3,127 rows said which,
0.4 % where 6,255 did, and 0.1 % where 12,510 did."""
MOST_ROWS = 40_000
FLOOR = 0.3
"""Added to the weights of rows, of mean 1, where margins become probabilities by a sigmoid or a
softmax: sure rows weigh little in their loss, but pruned trees must not forget them."""
TRUE_KINDS = frozenset({"number", "boolean", "datetime", "category"})
"""Kinds of columns beside which a step towards what rows truly are is taken. Features of words may
be statistics of the target, in which the rows that a bundle was trained on see what they are: on
the table adult, where 1 % of the rows have a country that few share, that step lost 0.003 of AUC
that distilling alone did not."""
FEW, MOST_FEW = 100, 0.005
"""Rows below which a category's statistic tells what they are, and the share of the rows that may
have such a category. On bike_sharing_hour, of four weathers and four seasons, the step is what
makes a tenth of the nodes lose nothing instead of 0.6 % of the RMSE."""
SPLIT_BITS = 48.0
"""What a split on a number counts for, beside the bits that tell a set of categories. Of
bike_sharing_hour's mix with 15 % of the nodes a twelfth of the splits were on sets of 731 days,
which took 360 of 585 kB; with this, files of 15 % have 366 kB. At 16, which such a split takes with
a leaf of 8 bits, and at 128, what was lost at sizes from 320 to 640 kB differed by less than it
does from one size to the next."""
_SAME = 1e-3
"""Difference of answers up to which they follow from one ensemble's margins alone."""
_CHECKED = 200


@dataclass(frozen=True, slots=True)
class Lesson:
    """A whole ensemble and what its pruned forms are to answer; n rows in random order.

    Attributes
    ----------
    reached : int32, shape (trees, n)
        The leaf that each row reaches in each tree.
    target, weight : float64, shape (outputs, n)
        Margins to come close to in weighted squares; weights are of mean 1.
    truth : float64, shape (outputs, n), or None
        What rows truly are: 0 or 1 for each output where margins are ``logits``, else in the unit
        of margins; None where that is not known.
    logits : bool
        Whether margins become probabilities by a sigmoid or a softmax.
    costs : float64, shape (columns,), or None
        See `raymm.compression.collapse.collapsed`; None where columns are numbers alone.
    """

    whole: Grove
    reached: Reached
    target: Floats
    weight: Floats
    truth: Floats | None
    logits: bool
    costs: Floats | None = None


def sample(grove: Grove, rows: Rows, plain: int | None = None) -> int:
    """Return of how many rows a grove's leaves are looked at: all that they read must be held.

    ``plain`` is what `raymm.compression.seen.plain_columns` tells of what it reads.
    """
    width = int(grove.feature.max(initial=0)) + 1 if plain is None else max(1, plain)
    room = CELLS * min(SEVERAL, len(grove.base))
    most = min(room // max(1, grove.outputs.size), CELLS // width)
    return int(min(len(rows.y), MOST_ROWS, most))


def lesson_of(unit: Unit, whole: Grove, bundle: Bundle, rows: Rows) -> Lesson:
    """Ask an ensemble, and the graph that it stands in, for what rows give."""
    count = sample(whole, rows, plain_columns(bundle, unit.node.input[0]))
    chosen = np.random.default_rng(rows.seed).permutation(len(rows.y))[:count]
    tensors = {name: values[chosen] for name, values in rows.tensors.items()}
    x = seen(bundle, unit.node.input[0], tensors)
    reached = reach(whole, x)
    target = margins(whole, reached)
    weight = np.ones_like(target)
    logits = unit.group is None and _bent(unit, bundle)
    if logits:
        weight = _curvature(target)
        weight = weight / weight.mean() + FLOOR
        weight /= weight.mean()
    truth = None
    if _may_see(bundle, rows) and (len(target) == 1 or logits):
        if unit.group is not None:
            truth = _beside(unit, bundle, tensors, target, rows.y[chosen])
        else:
            # A few rows tell whether answers follow from the margins alone, and how.
            few = {name: values[:_CHECKED] for name, values in tensors.items()}
            answers = runner_of(bundle).predict(few)
            truth = _truth(target, answers, rows.y[chosen], logits)
    return Lesson(whole, reached, target, weight, truth, logits, _costs(whole, x))


def _costs(whole: Grove, x: Seen) -> Floats | None:
    """Return what a split on each column takes in a file; see `SPLIT_BITS`.

    A set is written once, for all splits on it: as many bits as tell which of all sets of so many
    categories it is.
    """
    if not x.sets:
        return None
    bits = [_told(one.sizes().astype(np.float64), len(one.table)) for one in x.sets]
    uses = np.bincount(whole.feature[whole.left >= 0], minlength=x.width)[x.plain.shape[1] :]
    dear = np.concatenate(bits) / SPLIT_BITS / np.maximum(uses, 1)
    return np.concatenate([np.ones(x.plain.shape[1]), 1.0 + dear])


def _told(held: Floats, categories: int) -> Floats:
    """Return the logarithm, base 2, of how many sets of so many categories there are."""
    some = gammaln(held + 1) + gammaln(categories - held + 1)
    return np.asarray((gammaln(categories + 1) - some) / np.log(2), np.float64)


def _may_see(bundle: Bundle, rows: Rows) -> bool:
    """Whether features cannot tell what the rows are that the bundle was trained on."""
    columns = bundle.schema.features
    if not {column.kind for column in columns} <= TRUE_KINDS:
        return False
    words = [column.name for column in columns if column.kind == "category"]
    for values in (rows.tensors[name] for name in words):
        _, place, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
        if np.mean(counts[place] < FEW) > MOST_FEW:
            return False
    return True


def _bent(unit: Unit, bundle: Bundle) -> bool:
    model = model_of(bundle)
    users = {one.op_type for one in model.graph.node if unit.node.output[0] in one.input}
    return bool(users & {"Sigmoid", "Softmax"})


def _beside(
    unit: Unit, bundle: Bundle, tensors: Mapping[str, Any], target: Floats, y: npt.NDArray[Any]
) -> Floats | None:
    """Return what rows truly are less what is added beside a group, in the unit of its margins.

    None where the answers of the first rows are not that sum.
    """
    assert unit.group is not None, "the trees of one node have no group"
    model = model_of(bundle)
    gone = {part.result for part in unit.group.parts}
    others = [name for name in model.graph.node[unit.group.place].input if name not in gone]
    rest = unit.group.shift[0] + sum(tapped(bundle, name, tensors)[:, 0] for name in others)
    some = {name: values[:_CHECKED] for name, values in tensors.items()}
    answers = runner_of(bundle).predict(some).astype(np.float64)
    total = (unit.group.unit * target[0] + rest)[:_CHECKED]
    if answers.ndim != 1 or np.abs(total - answers).max() > _SAME * np.std(answers):
        return None
    return np.asarray((y - rest)[None] / unit.group.unit, np.float64)


def _truth(
    target: Floats, answers: npt.NDArray[Any], y: npt.NDArray[Any], logits: bool
) -> Floats | None:
    """Return what rows truly are, in the unit of margins where these are no logits, shape (k, n).

    None where what the graph answers does not follow from these margins, shape (k, n), alone, as in
    a mix.
    """
    if len(target) > 1:
        sure = softmax(target[:, : len(answers)], axis=0).T
        same = sure.shape == answers.shape and np.abs(sure - answers).max() < _SAME
        return np.eye(len(target))[:, y.astype(np.int64)] if same else None
    if answers.ndim == 2:
        sure = expit(target[0, : len(answers)])
        same = logits and np.abs(sure - answers[:, -1]).max() < _SAME
        return y[None].astype(np.float64) if same else None
    seen, told = target[0, : len(answers)], answers.astype(np.float64)
    middle, spread = float(seen.mean()), float(seen.std())
    if spread == 0:
        return None
    slope = float(np.mean((seen - middle) * (told - told.mean()))) / spread**2
    shift = float(told.mean()) - slope * middle
    apart = np.abs(slope * seen + shift - told).max()
    if slope <= 0 or apart > _SAME * np.std(answers):
        return None
    return np.asarray((y[None] - shift) / slope, np.float64)


def _curvature(target: Floats) -> Floats:
    """Return p (1 - p) of the probabilities that margins, shape (outputs, n), stand for."""
    raised = np.vstack([target, np.zeros_like(target)]) if len(target) == 1 else target
    power = np.exp(raised - raised.max(axis=0))
    share: Floats = (power / power.sum(axis=0))[: len(target)]
    return share * (1 - share) + np.finfo(np.float64).tiny
