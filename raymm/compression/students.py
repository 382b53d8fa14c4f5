"""Small models that learn from soft labels: a few small trees, or a network of one small layer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Encoding, Schema
from raymm.bundle.pipeline import Pipeline
from raymm.compression.finetuning import BATCH, descended, predicted
from raymm.compression.network import Floats32, Layer, Network
from raymm.compression.teaching import Floats, Lesson
from raymm.features.pipeline import Features, fit_features
from raymm.models.family import Family, Fitting
from raymm.models.heads import Head
from raymm.plugins import families

LEAST_HESSIAN = 1e-6
RATE = 6.0
"""Over the rounds it is the learning rate of trees, from `SLOWEST` to `FASTEST`."""
SLOWEST, FASTEST = 0.05, 0.3
FASTEST_STEP = 0.02
"""Rate of a network's first steps: of few units they bear more than those of large networks."""
NOISES = (0.0, 0.4)
"""Deviations of noise on what a network reads while it learns, where scaled numbers have 1 (Bishop
1995, "Training with noise is equivalent to Tikhonov regularization"). On a thousand rows of 60
columns it is worth more than half as many units again, on 16 columns that a network needs exactly
it costs as much."""
HELD = 5
"""One in so many rows tells which noise is better."""
LEAST_SHARE = 1e-6


def student(schema: Schema, lesson: Lesson, size: Mapping[str, Any], *, seed: int) -> Pipeline:
    """Train a small model on a lesson.

    Parameters
    ----------
    schema : Schema
        The columns that the model reads and what it tells; the lesson's tensors have them.
    lesson : Lesson
    size : mapping
        ``rounds`` and ``leaves`` of trees, or ``units`` of a network's layer.
    seed : int

    Returns
    -------
    Pipeline
        The same arguments give the same model.

    Raises
    ------
    DataError
        When no feature differs between the rows.
    """
    name, encoding = ("mlp", "compact") if "units" in size else ("lightgbm", "ordinal")
    how = Fitting(task=schema.task, classes=len(schema.classes), seed=seed)
    head = Head.fit(how, lesson.y)
    features, x = _features(schema, lesson, encoding)  # type: ignore[arg-type]
    target = np.concatenate([lesson.target, lesson.made_target])
    if schema.task == "binary":
        target = target[:, 1:]
    elif schema.task == "regression":
        target = head.target(target)
    model: Any
    if "units" in size:
        model = _network(x, target, head, int(size["units"]), len(lesson.y), seed)
    else:
        model = _trees(x, target, head, size, seed)
    family: Family = families.get(name)()
    return Pipeline(schema=schema, features=features, family=family, model=model, task=schema.task)


def _features(
    schema: Schema, lesson: Lesson, encoding: Encoding
) -> tuple[Features, npt.NDArray[np.float32]]:
    """Return features fitted to the rows, and those of the rows and of the made ones."""
    y: npt.NDArray[Any] = lesson.y
    features = fit_features(lesson.tensors, y, schema, encoding, crossed=True)
    parts = [features.training(lesson.tensors, y)]
    if len(lesson.made_target):
        parts.append(features.transform(lesson.made))
    return features, np.concatenate(parts)


def _trees(
    x: npt.NDArray[np.float32], target: Floats, head: Head, size: Mapping[str, Any], seed: int
) -> Any:
    """Return boosted trees as the family lightgbm holds them; see `Head` for the target."""
    import lightgbm as lgb

    from raymm.models.lightgbm import Boosted

    rounds = int(size["rounds"])
    parameters: dict[str, Any] = {
        # The log loss of soft labels, or squares; LightGBM has none for several classes.
        "objective": {"binary": "cross_entropy", "regression": "regression"}.get(head.task, "none"),
        "num_leaves": int(size["leaves"]),
        "learning_rate": float(np.clip(RATE / rounds, SLOWEST, FASTEST)),
        "min_data_in_leaf": int(np.clip(len(x) // 500, 2, 20)),
        "lambda_l2": 1.0,
        "feature_fraction": 0.8 if x.shape[1] > 3 else 1.0,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    several = head.outputs > 1
    if several:
        parameters["num_class"] = head.outputs
    label = np.zeros(len(x)) if several else target[:, 0]
    booster = lgb.Booster(parameters, lgb.Dataset(x, label, params=parameters))

    def slopes(raw: npt.NDArray[Any], _: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        share = head.predict(np.reshape(raw, target.shape))
        # The factor is that of Friedman 2001, equation 34.
        factor = head.outputs / (head.outputs - 1)
        return share - target, np.maximum(factor * share * (1 - share), LEAST_HESSIAN)

    for _ in range(rounds):
        if booster.update(fobj=slopes) if several else booster.update():
            break
    return Boosted(booster=booster, head=head, threads=1, exhausted=True)


def _network(
    x: npt.NDArray[np.float32], target: Floats, head: Head, units: int, rows: int, seed: int
) -> Any:
    """Return a network of one hidden layer as the family mlp holds it.

    The first ``rows`` of ``x`` are those of a table, others are made. Of `NOISES` that is taken
    which is best on a part of the table's rows after training on the others.
    """
    from raymm.models.mlp import Net

    how = Fitting(task=head.task, classes=head.classes, seed=seed)
    link = {"multiclass": "softmax", "binary": "sigmoid"}.get(head.task, "values")
    wanted = target.astype(np.float32)
    order = np.random.default_rng([seed, 14]).permutation(rows)
    held, others = order[: rows // HELD], np.sort(order[rows // HELD :])
    losses = [
        _loss(
            _trained(x[others], wanted[others], link, (units, noise), seed),
            x[held],
            wanted[held],
            link,
        )
        for noise in NOISES
        if len(held)
    ]
    noise = NOISES[int(np.argmin(losses))] if losses else NOISES[0]
    made = _trained(x, wanted, link, (units, noise), seed)
    return Net(
        perceptron=SimpleNamespace(activation="relu"),
        mean=tuple((layer.matrix, layer.bias) for layer in made.layers),
        rounds=1,
        train=None,
        how=how,
        head=head,
    )


def _trained(
    x: Floats32, wanted: Floats32, link: str, how: tuple[int, float], seed: int
) -> Network:
    """Train a network of so many units on rows with so much noise, half of them mixtures of two."""
    units, noise = how
    generator = np.random.default_rng([seed, units, 13])
    blank = Network(
        layers=tuple(
            _drawn(generator, *pair) for pair in pairwise((x.shape[1], units, wanted.shape[1]))
        ),
        activations=("Relu",),
        source="",
        result="",
    )
    shape = (2 * BATCH, x.shape[1])

    def batch() -> tuple[Floats32, Floats32]:
        rows, others = generator.integers(0, len(x), (2, 2 * BATCH))
        share = generator.random((2 * BATCH, 1), np.float32)
        share[:BATCH] = 1
        read = _mixed(x, rows, others, share)
        if noise:
            read += np.float32(noise) * generator.standard_normal(shape, np.float32)
        return read, _mixed(wanted, rows, others, share)

    return descended(blank, x, batch, link, fastest=FASTEST_STEP)


def _loss(made: Network, x: Floats32, wanted: Floats32, link: str) -> float:
    """Return the mean log loss, or squared error, on rows."""
    told = np.asarray(predicted(made.hidden(x)[-1], link), np.float64)
    if link == "values":
        return float(np.mean((told - wanted) ** 2))
    told = np.clip(told, LEAST_SHARE, 1 - LEAST_SHARE)
    lost = wanted * np.log(told)
    if link == "sigmoid":
        lost = lost + (1 - wanted) * np.log(1 - told)
    return -float(np.mean(lost))


def _mixed(
    values: Floats32, rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64], share: Floats32
) -> Floats32:
    """Return mixtures of two rows each (Zhang et al. 2018, "mixup", equation 1)."""
    return share * values[rows] + (1 - share) * values[others]


def _drawn(generator: np.random.Generator, inputs: int, outputs: int) -> Layer:
    """Draw a layer (He et al. 2015, "Delving deep into rectifiers", equation 10)."""
    matrix = generator.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
    return Layer(matrix=matrix, bias=np.zeros(outputs, np.float32))
