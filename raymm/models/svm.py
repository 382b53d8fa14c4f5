"""Support vector machines with a Gaussian kernel, by scikit-learn (libsvm).

Two parameters decide: the penalty C and the kernel's width. Their ranges follow Probst, Boulesteix
& Bischl 2019 ("Tunability: importance of hyperparameters of machine learning algorithms"), whose
best fixed values lie near C = 100 to 1,000 and gamma = 0.005; ``width`` is gamma times the number
of features.

Margins become probabilities by a sigmoid fitted to margins of rows that were held out (Platt
1999, "Probabilistic outputs for support vector machines"), with the targets of Lin, Lin & Weng
2007. With more than two classes there is a machine for each pair; the sum of its pairs'
log-probabilities, times a factor that is fitted too, is a class's raw output.

The graph works in float64: distances are differences of large numbers. It holds the support
vectors, which are training rows.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Float, Shape, Space, Task
from raymm.models import distance
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import ABSENT, Head
from raymm.models.mlp import limited_threads
from raymm.onnx_builder import FLOAT, GraphBuilder
from raymm.plugins import family

LARGEST = 10_000
"""Training rows up to which it is tried unasked: a fold's four fifths are all trained on."""
MOST_FEATURES = 2_000
MOST_CLASSES = 50
"""Classes, of which each pair is a machine (1,225 pairs): a graph holds pairs times classes."""
FOLDS, FEW = 3, 3_000
"""Folds that margins are held out in; with more rows than that, a fifth is held out once."""
CACHE_MB = 256
"""Holds the kernel of `distance.POINTS` rows, 4 bytes a pair. Where it does not, each step of the
solver computes kernels anew, which takes ten times as long (measured: 15,000 rows, 20 features)."""
STEPS = 500_000
"""Steps of the solver, shared by a class's pairs: 3 ns a row each, so 12 s of 8,000 rows.
In regression, where each row counts twice and each step takes 9 ns a row, a third of them."""
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Support vectors, and what each of them weighs.

    The kernel is exp(-gamma times the squared distance).

    Attributes
    ----------
    vectors : float32, shape (m, d)
        Of each class in turn.
    weights : float32, shape (max(1, classes - 1), m)
        Dual coefficients. A vector of class i has those of its pairs with the other classes, in
        their order; with two classes, or none, a single one.
    counts : tuple of int
        Vectors of each class; of all in regression.
    intercept : float64, shape (pairs,)
    """

    gamma: float
    vectors: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    counts: tuple[int, ...]
    intercept: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A machine, None where all rows have one class or value, and its sigmoid.

    ``slope`` and ``shift`` turn a margin into log-odds; ``power`` multiplies the sums of pairs.
    ``present``, shape (k,), are the codes of the classes that had training rows, in order.
    """

    machine: Machine | None
    present: npt.NDArray[np.int64]
    head: Head
    threads: int = 1
    slope: float = 1.0
    shift: float = 0.0
    power: float = 1.0


@family("svm")
class Svm(Family):
    """The widest margin between classes, or the flattest function within a tube, in a kernel."""

    encoding = "dense"
    order = 80

    def suits(self, task: Task, shape: Shape) -> bool:
        """Return whether rows, features and classes are few enough."""
        small = shape.rows <= LARGEST and shape.features <= MOST_FEATURES
        return small and shape.classes <= MOST_CLASSES

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the penalty, the kernel's width and, for values, the tube's half width."""
        space: Space = {"C": Float(0.1, 1000.0, log=True), "width": Float(0.01, 5.0, log=True)}
        return {**space, "epsilon": Float(0.01, 0.5, log=True)} if task == "regression" else space

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return scikit-learn's width with a larger penalty, and a wide kernel."""
        tube = {"epsilon": 0.1} if task == "regression" else {}
        return {"C": 10.0, "width": 1.0, **tube}, {"C": 100.0, "width": 0.1, **tube}

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Fitted:
        """Solve the dual problem, and fit the sigmoid on rows held out; see `Family.fit`.

        Raises
        ------
        ValueError
            When there are more classes than `MOST_CLASSES`.
        """
        if how.classes > MOST_CLASSES:
            raise ValueError(
                f"svm takes {MOST_CLASSES} classes at most, but the target has {how.classes}. "
                'Leave "svm" out of search.families.'
            )
        head = Head.fit(how, train.y)
        x, y = distance.drawn(train, how)
        target: npt.NDArray[Any] = head.target(y)
        present = np.zeros(1, np.int64)
        if how.task != "regression":
            present, target = np.unique(y, return_inverse=True)
            present = present.astype(np.int64)
        model = Fitted(machine=None, present=present, head=head, threads=how.threads)
        if np.ptp(target) == 0:
            return model
        with limited_threads(how.threads):
            model = replace(model, machine=_solve(config, x, target, how))
            if how.task == "regression":
                return model
            return _calibrated(model, *_held_out(config, x, target, how))

    def predict(
        self, model: Fitted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        raw = np.zeros((len(x), len(model.present)))
        if model.machine is not None:
            step = distance.chunk(max(len(model.machine.vectors), len(model.machine.intercept)))
            with limited_threads(model.threads):
                for at in range(0, len(x), step):
                    raw[at : at + step] = _raw(model, x[at : at + step])
        if model.head.task == "regression":
            return model.head.predict(raw)
        full = np.full((len(x), model.head.classes), ABSENT)
        full[:, model.present] = raw
        power = np.exp(full - full.max(axis=1, keepdims=True))
        probabilities: Doubles = power / power.sum(axis=1, keepdims=True)
        return probabilities

    def to_onnx(self, model: Fitted, builder: GraphBuilder, features: str) -> str:
        """Add the kernel, the margins and the sigmoid; see `Family.to_onnx`."""
        wide = builder.node("Cast", [features], to=distance.DOUBLE)
        if model.machine is None:
            first = builder.node("Gather", [wide, builder.constant([0], np.int64)], axis=1)
            raw = builder.node("Sub", [first, first])
        else:
            raw = _graph_of_margins(model.machine, builder, wide)
        if model.head.task == "regression":
            scaled = builder.node("Mul", [raw, _constant(builder, [model.head.deviation])])
            value = builder.node("Add", [scaled, _constant(builder, [model.head.mean])])
            return builder.node("Cast", [value], to=FLOAT)
        if model.machine is not None:
            raw = _graph_of_coupling(model, builder, raw)
        spread = np.zeros((len(model.present), model.head.classes))
        spread[np.arange(len(model.present)), model.present] = 1.0
        absent = np.where(spread.any(axis=0), 0.0, ABSENT)
        full = builder.node("MatMul", [raw, _constant(builder, spread)])
        full = builder.node("Add", [full, _constant(builder, absent)])
        return builder.node("Cast", [builder.node("Softmax", [full], axis=1)], to=FLOAT)


# ------------------------------------------------------------------------------------- training


def _solve(config: Config, x: Any, y: Any, how: Fitting) -> Machine:
    from sklearn.svm import SVC, SVR

    gamma = float(config.get("width") or 1.0) / x.shape[1]
    given: dict[str, Any] = {"C": float(config.get("C") or 1.0), "gamma": gamma}
    regression = how.task == "regression"
    # Steps are counted, not timed, or a fit would not repeat.
    steps = STEPS // (3 if regression else int(np.max(y)))
    given |= {"cache_size": CACHE_MB, "max_iter": max(1, steps)}
    tube = {"epsilon": float(config.get("epsilon") or 0.1)}
    solver = SVR(**given, **tube) if regression else SVC(**given)
    with warnings.catch_warnings():
        # A machine that stopped at the limit of steps is still one; the search judges it.
        warnings.simplefilter("ignore")
        solver.fit(np.asarray(x, np.float64), y)
    vectors = np.asarray(solver.support_vectors_, np.float32)
    counts = [len(vectors)] if regression else solver.n_support_.tolist()
    # Of two classes, scikit-learn gives the margin of the second; of more, that of a pair's first.
    sign = -1.0 if len(counts) == 2 else 1.0
    return Machine(
        gamma=gamma,
        vectors=vectors,
        weights=np.asarray(sign * solver.dual_coef_, np.float32),
        counts=tuple(counts),
        intercept=sign * np.asarray(solver.intercept_, np.float64),
    )


def _held_out(config: Config, x: Any, codes: Any, how: Fitting) -> tuple[Doubles, npt.NDArray[Any]]:
    """Return margins (n, pairs) by machines not trained on those rows, and the codes (n,).

    Every class keeps rows in each training part; the one row of a class is never held out.
    """
    random = np.random.default_rng([how.seed, 1])
    folds = FOLDS if len(codes) <= FEW else 5
    place = np.empty(len(codes), np.int64)
    for code, count in enumerate(np.bincount(codes)):
        place[codes == code] = random.permutation(count) % folds if count > 1 else -1
    margins, truth = [], []
    for fold in range(folds if folds == FOLDS else 1):
        held = place == fold
        if held.any():
            machine = _solve(config, x[~held], codes[~held], how)
            margins.append(_margins(machine, x[held]))
            truth.append(codes[held])
    if not margins:
        return np.zeros((0, 1)), np.zeros(0, np.int64)
    return np.concatenate(margins), np.concatenate(truth)


def _calibrated(model: Fitted, margins: Doubles, truth: npt.NDArray[Any]) -> Fitted:
    """Return the model with its sigmoid fitted by maximum likelihood."""
    from scipy.optimize import minimize

    classes = len(model.present)
    if len(truth) == 0:
        return model
    if classes == 2:
        first = truth == 0
        target = np.where(first, (first.sum() + 1) / (first.sum() + 2), 1 / ((~first).sum() + 2))

        def platt(given: Doubles) -> float:
            odds = given[0] * margins[:, 0] + given[1]
            return float(np.mean(np.logaddexp(0.0, odds) - target * odds))

        slope, shift = minimize(platt, np.array([1.0, 0.0]), method="BFGS").x
        return replace(model, slope=float(slope), shift=float(shift))

    def coupled(given: Doubles) -> float:
        raw = _summed(np.exp(given[0]) * margins, classes) * np.exp(given[1])
        largest = raw.max(axis=1, keepdims=True)
        total = largest[:, 0] + np.log(np.exp(raw - largest).sum(axis=1))
        return float(np.mean(total - raw[np.arange(len(truth)), truth]))

    bounds = [(-4.0, 4.0), (-4.0, 4.0)]
    found = minimize(coupled, np.zeros(2), method="L-BFGS-B", bounds=bounds).x
    return replace(model, slope=float(np.exp(found[0])), power=float(np.exp(found[1])))


# ----------------------------------------------------------------------------------- prediction


def _pairs(classes: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(classes), 2))


def _places(classes: int) -> tuple[list[int], list[int]]:
    """Return where the two parts of each pair's margin stand among (class, weight)."""
    pairs, others = _pairs(classes), classes - 1
    return [i * others + j - 1 for i, j in pairs], [j * others + i for i, j in pairs]


def _margins(machine: Machine, x: npt.NDArray[np.float32]) -> Doubles:
    """Return each pair's margin, positive for its first class, or the values: shape (n, pairs)."""
    kernel = np.exp(-machine.gamma * distance.squared(x, machine.vectors))
    ends = np.cumsum(machine.counts)[:-1]
    weights = machine.weights.astype(np.float64)
    parts = [
        k @ w.T
        for k, w in zip(
            np.split(kernel, ends, axis=1), np.split(weights, ends, axis=1), strict=True
        )
    ]
    made = np.hstack(parts)
    if len(machine.counts) > 1:
        first, second = _places(len(machine.counts))
        made = made[:, first] + made[:, second]
    margins: Doubles = made + machine.intercept
    return margins


def _summed(odds: Doubles, classes: int) -> Doubles:
    """Sum the log-probabilities of each class in its pairs: log-odds (n, pairs) to (n, classes)."""
    tail = np.log(1.0 + np.exp(-np.abs(odds)))
    first, second = _members(classes)
    summed: Doubles = (np.minimum(odds, 0) - tail) @ first + (np.minimum(-odds, 0) - tail) @ second
    return summed


def _members(classes: int) -> tuple[Doubles, Doubles]:
    """Return which class is the first, and which the second, of each pair: (pairs, classes)."""
    pairs = np.array(_pairs(classes))
    return np.eye(classes)[pairs[:, 0]], np.eye(classes)[pairs[:, 1]]


def _raw(model: Fitted, x: npt.NDArray[np.float32]) -> Doubles:
    """Return the raw output of each present class, the largest 0, or the values: (n, k)."""
    assert model.machine is not None
    margins = _margins(model.machine, x)
    if model.head.task == "regression":
        return margins
    raw = _summed(model.slope * margins + model.shift, len(model.present)) * model.power
    # Sums of many pairs may all lie below what classes without rows get.
    relative: Doubles = raw - raw.max(axis=1, keepdims=True)
    return relative


def _constant(builder: GraphBuilder, values: npt.ArrayLike) -> str:
    return builder.constant(values, np.float64)


def _graph_of_margins(machine: Machine, builder: GraphBuilder, wide: str) -> str:
    """Add the nodes of `_margins`; returns float64 (n, pairs)."""
    far = distance.to_onnx(builder, wide, machine.vectors)
    kernel = builder.node("Exp", [builder.node("Mul", [far, _constant(builder, -machine.gamma)])])
    ends = np.cumsum(machine.counts)
    axis = builder.constant([1], np.int64)
    parts = []
    for count, end in zip(machine.counts, ends.tolist(), strict=True):
        limits = [builder.constant([at], np.int64) for at in (end - count, end)]
        block = builder.node("Slice", [kernel, *limits, axis])
        weights = np.ascontiguousarray(machine.weights[:, end - count : end].T)
        parts.append(builder.node("MatMul", [block, distance.double(builder, weights)]))
    made = builder.node("Concat", parts, axis=1)
    if len(machine.counts) > 1:
        places = [builder.constant(place, np.int64) for place in _places(len(machine.counts))]
        both = [builder.node("Gather", [made, place], axis=1) for place in places]
        made = builder.node("Add", both)
    return builder.node("Add", [made, _constant(builder, machine.intercept)])


def _graph_of_coupling(model: Fitted, builder: GraphBuilder, margins: str) -> str:
    """Add what `_raw` makes of margins; returns float64 (n, present classes)."""
    scaled = builder.node("Mul", [margins, _constant(builder, model.slope)])
    odds = builder.node("Add", [scaled, _constant(builder, model.shift)])
    turned = builder.node("Neg", [odds])
    small = builder.node("Exp", [builder.node("Neg", [builder.node("Abs", [odds])])])
    tail = builder.node("Log", [builder.node("Add", [small, _constant(builder, 1.0)])])
    parts = []
    for side, members in zip((odds, turned), _members(len(model.present)), strict=True):
        low = builder.node("Min", [side, _constant(builder, 0.0)])
        chance = builder.node("Sub", [low, tail])
        parts.append(builder.node("MatMul", [chance, _constant(builder, members)]))
    raw = builder.node("Mul", [builder.node("Add", parts), _constant(builder, model.power)])
    axis = builder.constant([1], np.int64)
    return builder.node("Sub", [raw, builder.node("ReduceMax", [raw, axis], keepdims=1)])
