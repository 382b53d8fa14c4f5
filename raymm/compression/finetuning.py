"""Trains a smaller network on a larger one's outputs, with Adam in numpy.

The student learns from rows and from mixtures of two rows each (Zhang et al. 2018, "mixup:
beyond empirical risk minimization", equation 1): the larger network says what it makes of any
point, so a table of few rows teaches as many points as there are steps. Of the rows themselves
the label is mixed in (Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural
network", section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.compressor import Rows
from raymm.compression.network import Floats32, Layer, Network, tensor
from raymm.models.mlp import limited_threads

MOST_ROWS = 20_000
"""Rows that are learned from at most, drawn by the seed."""
MOST_CELLS = 20_000_000
"""Fewer rows of many columns: so many cells take 80 MB, and twice that in float64."""
PLAIN = frozenset({"number", "boolean", "datetime"})
"""Kinds of columns beside which labels are learned from: features of others may be statistics of
the target, in which the rows that a bundle was trained on see what they are."""
LABELS = 0.3
"""What part of the target of a row is its label."""
BATCH = 128
"""Rows of a step; as many mixtures come on top."""
RATE = 6e-3
FEW_STEPS, MOST_STEPS, FEWEST_STEPS = 1200, 4800, 150
ROWS_A_STEP = 3
"""Rows from which on one more step is taken, between `FEW_STEPS` and `MOST_STEPS`: on 13,000 rows
half of the loss of a network of half the units goes with the first 3200, and half of the rest with
4300; on 1,000 none."""
WORK = 1e11
"""Multiplications and additions of all steps together, some seconds of one core: a network of
60,000 weights is trained for 1090 steps, one of 54,000 for `FEW_STEPS`."""
_FADE, _FADE_SQUARED, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a student learns from.

    Attributes
    ----------
    x : float32, shape (n, d)
        What the teacher reads.
    labels : float32, shape (n, outputs), or None
        In the unit of ``link``'s result; None where they cannot be told in it.
    link : "softmax", "sigmoid" or "values"
        What turns raw outputs into predictions. The gradient of its usual loss (cross-entropy,
        squared error) by the raw output is prediction less target.
    """

    teacher: Network
    x: Floats32
    labels: Floats32 | None
    link: Literal["softmax", "sigmoid", "values"]
    seed: int


def lesson_of(bundle: Bundle, network: Network, rows: Rows, *, alone: bool) -> Lesson:
    """Return what a network's student learns from: at most `MOST_ROWS` rows and their labels.

    ``alone`` says that no other network has a part in the predictions, so that labels of
    regression can be told in the network's own unit, where the graph's last steps are linear.
    """
    tensors, y = rows.tensors, rows.y
    most = min(MOST_ROWS, max(1, MOST_CELLS // network.layers[0].matrix.shape[0]))
    if len(y) > most:
        drawn = np.random.default_rng([rows.seed, 5]).choice(len(y), most, replace=False)
        drawn.sort()
        tensors, y = {name: values[drawn] for name, values in tensors.items()}, y[drawn]
    x = tensor(bundle, network.source, tensors)
    outputs = network.layers[-1].matrix.shape[1]
    task, classes = bundle.schema.task, len(bundle.schema.classes)
    plain = {column.kind for column in bundle.schema.features} <= PLAIN
    how: dict[str, Any] = {"labels": None, "link": "values"}
    if task == "multiclass" and outputs == classes:
        how = {"labels": np.eye(classes, dtype=np.float32)[y], "link": "softmax"}
    elif task == "binary" and outputs == 1:
        how = {"labels": y[:, None].astype(np.float32), "link": "sigmoid"}
    elif task == "regression" and outputs == 1 and alone:
        raw = tensor(bundle, network.result, tensors)[:, 0]
        how["labels"] = _in_unit_of(raw, Runner(bundle).predict(tensors), y)
    labels = how.pop("labels") if plain else None
    return Lesson(teacher=network, x=x, seed=rows.seed, labels=labels, link=how["link"])


def predicted(raw: npt.NDArray[Any], link: str) -> npt.NDArray[Any]:
    """Return predictions of raw outputs, shape (n, outputs)."""
    if link == "softmax":
        power = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(power / power.sum(axis=1, keepdims=True))
    return np.asarray((1 + np.tanh(raw / 2)) / 2) if link == "sigmoid" else raw


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaling:
    """Columns less their means, and those of a large scale divided by it: Adam's steps are alike
    for all weights, and a network from elsewhere may read columns as they were counted.
    """

    mean: Floats32
    scale: Floats32

    @classmethod
    def of(cls, x: Floats32) -> Self:
        scale = np.maximum(x.std(axis=0, dtype=np.float64), 1.0)
        return cls(
            mean=x.mean(axis=0, dtype=np.float64).astype(np.float32),
            scale=scale.astype(np.float32),
        )

    def __call__(self, x: Floats32) -> Floats32:
        return (x - self.mean) / self.scale

    def fold(self, network: Network) -> Network:
        """Return the network that says of scaled columns what this one says of them as they are."""
        first, *others = network.layers
        made = Layer(
            matrix=first.matrix * self.scale[:, None], bias=first.bias + self.mean @ first.matrix
        )
        return replace(network, layers=(made, *others))

    def unfold(self, network: Network) -> Network:
        """Return what `fold` made that of."""
        first, *others = network.layers
        matrix = first.matrix / self.scale[:, None]
        made = Layer(matrix=matrix, bias=first.bias - self.mean @ matrix)
        return replace(network, layers=(made, *others))


def steps(student: Network, rows: int) -> int:
    """Return how many steps a network is trained for on so many rows."""
    most = int(np.clip(rows // ROWS_A_STEP, FEW_STEPS, MOST_STEPS))
    return int(np.clip(WORK / (12.0 * BATCH * student.size), FEWEST_STEPS, most))


def finetune(
    student: Network,
    lesson: Lesson,
    *,
    masks: Sequence[npt.NDArray[np.bool_]] | None = None,
) -> Network:
    """Train a student on its teacher's outputs.

    Parameters
    ----------
    student : Network
        Its ``columns`` say what it reads of the teacher's ``x``.
    lesson : Lesson
    masks : sequence of bool arrays, optional
        For each layer, the shape of its matrix: where False, a weight is and stays 0.

    Returns
    -------
    Network
        The same arguments give the same network; the student as it is where training fails.
    """
    x = lesson.x[:, list(student.columns)] if student.columns else lesson.x
    generator = np.random.default_rng([lesson.seed, student.size, 7])

    def batch() -> tuple[Floats32, Floats32]:
        x, target = _batch(lesson, generator)
        return x[:, list(student.columns)] if student.columns else x, target

    return descended(student, x, batch, lesson.link, masks=masks)


def descended(
    student: Network,
    x: Floats32,
    batch: Callable[[], tuple[Floats32, Floats32]],
    link: str,
    *,
    masks: Sequence[npt.NDArray[np.bool_]] | None = None,
    fastest: float = RATE,
) -> Network:
    """Train a network for `steps` steps of Adam, the rate falling as half a cosine.

    Parameters
    ----------
    student : Network
    x : float32, shape (n, inputs)
        Rows, which say how columns are scaled meanwhile.
    batch : callable
        Returns a step's rows and targets, shapes (b, inputs) and (b, outputs).
    link : str
        As in `Lesson`.
    masks : as in `finetune`
    fastest : float
        The rate of the first step.

    Returns
    -------
    Network
        The student as it is where training fails.
    """
    total = steps(student, len(x))
    scaling = _Scaling.of(x)
    scaled = scaling.fold(student)
    weights = [part.copy() for layer in scaled.layers for part in (layer.matrix, layer.bias)]
    mean, square = [np.zeros_like(part) for part in weights], [np.zeros_like(p) for p in weights]
    with limited_threads(1), np.errstate(all="ignore"):
        for step in range(total):
            read, target = batch()
            slopes = _slopes(student, weights, scaling(read), target, link)
            rate = fastest * (1 + np.cos(np.pi * step / total)) / 2
            grown, grown_square = 1 - _FADE ** (step + 1), 1 - _FADE_SQUARED ** (step + 1)
            if masks is not None:
                for slope, mask in zip(slopes[::2], masks, strict=True):
                    np.multiply(slope, mask, out=slope)
            for index, slope in enumerate(slopes):
                mean[index] += (1 - _FADE) * (slope - mean[index])
                square[index] += (1 - _FADE_SQUARED) * (slope * slope - square[index])
                scale = np.sqrt(square[index] / grown_square) + _TINY
                weights[index] -= (rate / grown * mean[index] / scale).astype(np.float32)
    made = scaling.unfold(replace(student, layers=_layers(weights)))
    finite = all(np.isfinite(p).all() for one in made.layers for p in (one.matrix, one.bias))
    return made if finite else student


def _batch(lesson: Lesson, generator: np.random.Generator) -> tuple[Floats32, Floats32]:
    """Return some rows with as many mixtures, and what is to be learned of them."""
    rows = generator.integers(0, len(lesson.x), (2, BATCH))
    share = generator.random((BATCH, 1), np.float32)
    own, other = lesson.x[rows[0]], lesson.x[rows[1]]
    x = np.concatenate([own, share * own + (1 - share) * other])
    target = predicted(lesson.teacher.hidden(x)[-1], lesson.link)
    if lesson.labels is not None:
        target[:BATCH] += np.float32(LABELS) * (lesson.labels[rows[0]] - target[:BATCH])
    return x, target


def _slopes(
    student: Network, weights: Sequence[Floats32], x: Floats32, target: Floats32, link: str
) -> list[Floats32]:
    """Return the gradient of the mean loss by each matrix and bias."""
    now = replace(student, layers=_layers(weights))
    inputs = now.hidden(x)
    error = (predicted(inputs[-1], link) - target) / np.float32(len(x))
    slopes: list[Floats32] = []
    for number in range(len(now.layers) - 1, -1, -1):
        slopes[:0] = [inputs[number].T @ error, error.sum(axis=0)]
        if number:
            error = error @ now.layers[number].matrix.T
            error *= _bend(inputs[number], now.activations[number - 1])
    return slopes


def _bend(made: Floats32, activation: str) -> Floats32:
    """Return the derivative of an activation by its sum, from what it made."""
    if activation == "Relu":
        return (made > 0).astype(np.float32)
    return 1 - made * made if activation == "Tanh" else made * (1 - made)


def _layers(weights: Sequence[Floats32]) -> tuple[Layer, ...]:
    pairs = zip(weights[::2], weights[1::2], strict=True)
    return tuple(Layer(matrix=matrix, bias=bias) for matrix, bias in pairs)


def _in_unit_of(
    raw: npt.NDArray[Any], predictions: npt.NDArray[Any], y: npt.NDArray[Any]
) -> Floats32 | None:
    """Return targets in the unit of raw outputs, where predictions are linear in those."""
    spread = float(np.std(raw, dtype=np.float64))
    if not spread > 0:
        return None
    slope, shift = np.polyfit(raw.astype(np.float64), predictions.astype(np.float64), 1)
    away = np.abs(slope * raw + shift - predictions).max()
    if slope == 0 or away > 1e-3 * abs(slope) * spread:
        return None
    return np.asarray((y - shift) / slope, np.float32)[:, None]
