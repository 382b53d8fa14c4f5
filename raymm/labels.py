"""Which labels of a table are doubtful, as a person is told of them.

The models that a run weighs predict rows that they were not trained on, which tells much of these
rows' own labels. Where they did not predict all of them, or there are none, quick models do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly, Config, Dataset, Doubt, Doubts, Indices, Schema
from raymm.bundle.pipeline import Bench
from raymm.evaluation.label_noise import implausible
from raymm.features.columns import spell
from raymm.features.dealing import together
from raymm.models.mlp import limited_threads

RULE = "label noise"
PARTS = 3
"""Parts of the rows, each predicted by a quick model that was trained on the others."""
TRAINED, CELLS = 10_000, 1_000_000
"""Rows that a quick model is trained on at most, and their cells."""
ROUNDS, TREES = 100, 800
"""Rounds of boosting of a quick model at most, and trees of all classes."""
VISITS, WORDS = 20_000_000, 1000
"""Rows times trees, or times so many words of texts, that are predicted at most."""
CLASSES = 200
KEPT = 5000
"""Doubtful rows that are kept at most."""
SHOWN = 10
TRAINED_ON = (
    "They are trained on as they are; those of the test rows were not looked at. The report lists "
    "them."
)
"""What a run did about doubtful labels."""
LEFT = "A run trains on them as they are."
_QUICK: Config = {
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_child_samples": 10,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "lambda_l2": 1.0,
    "max_bin": 63,
}


def doubts(dataset: Dataset, rows: Indices, predictions: npt.NDArray[Any]) -> Doubts:
    """Return which rows have a doubtful label.

    Parameters
    ----------
    rows : int64, shape (n,)
        Row numbers of the dataset.
    predictions : shape (n, classes) or (n,)
        By models that were trained without them.
    """
    truth, classes = dataset.y[rows], dataset.schema.classes
    found = implausible(truth, predictions)
    numbers = rows[found.places]
    if dataset.origin is not None:
        numbers = dataset.origin[numbers]

    def told(value: Any) -> str:
        return classes[int(value)] if classes else f"{float(value):.10g}"

    worst = [
        Doubt(row=int(number) + 1, given=told(truth[place]), likelier=told(value), measure=measure)
        for number, place, value, measure in zip(
            numbers[:KEPT].tolist(),
            found.places.tolist(),
            found.likelier.tolist(),
            found.measure.tolist(),
            strict=False,
        )
    ]
    return Doubts(looked=len(rows), found=len(found.places), worst=tuple(worst))


def of_rows(
    dataset: Dataset,
    rows: Indices,
    *,
    seed: int,
    known: tuple[Indices, npt.NDArray[Any]] | None = None,
) -> Doubts | None:
    """Return which of these rows have a doubtful label, or None where they cannot be looked at.

    Parameters
    ----------
    rows : int64, shape (n,)
        Row numbers of the dataset.
    known : (int64 of shape (m,), shape (m, classes) or (m,)), optional
        Some of the rows, and what models that were trained without them predict. Where that is not
        of all rows, quick models predict them; see `looked_at`.
    """
    if known is not None and len(known[0]) == len(rows):
        return doubts(dataset, *known)
    try:
        return looked_at(dataset, rows, seed=seed)
    except Exception:  # of any library: a hint is worth neither a run nor what else is known
        return None


def looked_at(dataset: Dataset, rows: Indices, *, seed: int) -> Doubts | None:
    """Return which of these rows have a doubtful label, by quick models of the others.

    Of very many rows a sample is looked at; rows of a group, and stretches of time, are in one
    part. None where there are too many classes for a quick model.

    Raises
    ------
    ConfigError, DataError, SearchError
        As `raymm.bundle.pipeline.fit`.
    """
    outputs = max(1, len(dataset.schema.classes)) if dataset.schema.task == "multiclass" else 1
    if outputs > CLASSES:
        return None
    config, rounds = _quick(dataset.schema, outputs)
    generator = np.random.default_rng([seed, 11])
    rows = _some(rows, VISITS // (outputs * (rounds if rounds > 1 else WORDS)), generator)
    part = together(dataset, rows, PARTS, generator)
    if part is None:
        part = generator.permutation(len(rows)) % PARTS
    most = min(TRAINED, CELLS // max(1, len(dataset.schema.features)))
    predictions: npt.NDArray[Any] | None = None
    with limited_threads(1):
        for number in np.unique(part).tolist():
            bench = Bench(dataset, _some(rows[part != number], max(1000, most), generator))
            pipeline = bench.fit(config, rounds=rounds, seed=seed, threads=1)
            made = pipeline.predict(dataset.rows(rows[part == number]))
            if predictions is None:
                predictions = np.empty((len(rows), *made.shape[1:]))
            predictions[part == number] = made
    assert predictions is not None
    return doubts(dataset, rows, predictions)


def _quick(schema: Schema, outputs: int) -> tuple[Config, int]:
    """Return a configuration and its rounds: a linear model where there is a text, which is quick
    and good, else small trees.
    """
    if any(column.kind == "text" for column in schema.features):
        return {"family": "linear"}, 1
    config: Config = {
        "family": "lightgbm",
        **{f"lightgbm.{key}": own for key, own in _QUICK.items()},
    }
    return config, int(np.clip(TREES // outputs, 5, ROUNDS))


def _some(rows: Indices, most: int, generator: np.random.Generator) -> Indices:
    return rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))


def anomalies(found: Doubts | None, schema: Schema, done: str) -> tuple[Anomaly, ...]:
    """Return a warning where labels are doubtful; ``done`` is a sentence of what was done."""
    if found is None or not found.found:
        return ()
    few = [
        f"row {one.row} ({spell(one.given)[:40]!r}, "
        + (f"likelier {one.likelier[:40]!r})" if schema.classes else f"predicted {one.likelier})")
        for one in found.worst[:SHOWN]
    ]
    rows = "row" if found.found == 1 else "rows"
    more = ", …" if found.found > len(few) else ""
    kind = "label" if schema.classes else "value"
    return (
        Anomaly(
            rule=RULE,
            column=schema.target,
            observed=f"{found.found:,} {rows} ({found.found / found.looked:.2%}) of the "
            f"{found.looked:,} looked at whose {kind} is implausible to models trained without "
            f"them: {', '.join(few)}{more}",
            allowed=f"{kind}s that the other columns bear out",
            remedy=f"{done} Look at these rows, the first row of data being row 1; correct wrong "
            f"{kind}s, or leave the rows out. Only what is surely implausible is named (all of it "
            "with --json); there may be more.",
            severity="warning",
        ),
    )
