"""How many LightGBM fits a minute raymm makes, against Optuna around LightGBM's own estimator.

The same configurations, drawn from raymm's space for LightGBM, the same rows and features, the
same rounds and threads, one fold of the table, each fit scored on the same validation rows, in
alternating blocks of one process: raymm's family on shared binned rows, and an Optuna study whose
objective fits an ``LGBMClassifier``. Printed are fits a minute, their ratio with the smallest and
the largest block's, and the largest difference between two scores of one configuration.

Exits with 1 where raymm makes fewer than 1.5 times as many fits, or a score differs by more than
0.002.

    python tests/benchmarks/bench_throughput.py [TABLE:TARGET] [--fits 30] [--rounds 100]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from raymm.api import _configuration
from raymm.data import ingest
from raymm.evaluation.metrics import metric_for
from raymm.lifecycle import _dataset
from raymm.models.family import Fitting
from raymm.models.lightgbm import OBJECTIVES, LightGBM
from raymm.search import space as spaces
from raymm.search.trial import prepare
from raymm.searching import _shape

BAR, APART, BLOCK = 1.5, 0.002, 5
ADULT = Path(__file__).parents[3] / "shared" / "data" / "adult.csv"


def ready(source: str, target: str) -> Any:
    """Return the dataset, and the first fold as trials get it: read-only."""
    config, _ = _configuration(source, {"data.target": target})
    dataset, _ = _dataset(config, lambda _: None, ingest.read(source))
    prepared = prepare(dataset, [LightGBM])
    train, valid = prepared.folds["ordinal"][0]
    for part in (train.x, train.y, valid.x):
        part.flags.writeable = False
    return dataset, train, valid


def ours(config: Any, train: Any, valid: Any, how: Fitting) -> Any:
    """Fit raymm's family and predict."""
    family = LightGBM()
    return family.predict(family.fit(config, train, how), valid.x)


def theirs(config: Any, train: Any, valid: Any, how: Fitting) -> Any:
    """Fit LightGBM's estimator, as an objective of Optuna does, and predict."""
    from lightgbm import LGBMClassifier

    given = {key: value for key, value in config.items() if key != "max_bin"}
    model = LGBMClassifier(
        **given, max_bin=int(config["max_bin"]), n_estimators=how.rounds, random_state=how.seed,
        n_jobs=how.threads, objective=OBJECTIVES[how.task], verbosity=-1,
        bagging_freq=1 if config["bagging_fraction"] < 1 else 0,
    )  # fmt: skip
    return model.fit(train.x, train.y).predict_proba(valid.x)


def main() -> int:
    """Print the whole; return 1 where a bar is missed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?", default=f"{ADULT}:income")
    parser.add_argument("--fits", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    source, _, target = given.table.rpartition(":")
    if not Path(source).exists():
        print(f"{source} is not here; nothing was measured")
        return 2
    dataset, train, valid = ready(source, target)
    schema, generator = dataset.schema, np.random.default_rng(0)
    space = LightGBM().space(schema.task, _shape(dataset))
    configs = [spaces.sample(space, generator) for _ in range(given.fits)]
    how = Fitting(task=schema.task, classes=len(schema.classes), seed=0, rounds=given.rounds)
    metric = metric_for("roc_auc", schema.task)
    study = optuna.create_study(direction="maximize")
    scores: tuple[list[float], list[float]] = ([], [])
    blocks: list[tuple[float, float]] = []

    def peer(config: Any) -> float:
        trial = study.ask()
        study.tell(trial, value := float(metric(valid.y, theirs(config, train, valid, how))))
        return value

    def raymm(config: Any) -> float:
        return float(metric(valid.y, ours(config, train, valid, how)))

    for start in range(0, len(configs), BLOCK):
        spent = []
        for run, found in ((raymm, scores[0]), (peer, scores[1])):
            began = time.perf_counter()
            found.extend(run(config) for config in configs[start : start + BLOCK])
            spent.append(time.perf_counter() - began)
        blocks.append((spent[0], spent[1]))
    mine, other = (sum(part) for part in zip(*blocks, strict=True))
    ratios = [b / a for a, b in blocks]
    apart = float(np.abs(np.subtract(*scores)).max())
    print(f"raymm {60 * given.fits / mine:.1f} fits a minute, Optuna {60 * given.fits / other:.1f}")
    print(
        f"ratio {other / mine:.2f} (at least {BAR}); blocks {min(ratios):.2f} to "
        f"{max(ratios):.2f}, median {statistics.median(ratios):.2f}"
    )
    print(f"largest difference of two scores {apart:.2g} (at most {APART})")
    kept = other >= BAR * mine and apart <= APART
    print("kept" if kept else "MISSED")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
