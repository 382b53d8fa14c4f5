"""How many boosters a minute raymm's trials train, against Optuna around the library itself.

The same configurations, drawn from raymm's space for the family, the same rows and features (the
table's own, as float32), the same rounds, one thread each, one fold of the table, in alternating
blocks of one process. raymm's side is `TrialRun`, the code that a worker of a search runs: binned
rows that all trials share, and validation rows scored at each rung, eight in 100 rounds. Optuna's
side is written in four ways:

- ``watched``: its documented example with pruning: a ``Dataset`` of its own in each trial, and the
  validation rows scored by the library after each round and reported to the study. This, too,
  can be stopped early, as can raymm's; nothing is stopped here, so that all train as long.
- ``plain``: its documented simple example: a ``Dataset`` of its own in each trial, scored at the
  end alone. It cannot be stopped early.
- ``estimator``: the library's scikit-learn estimator, scored at the end alone.
- ``shared``: as ``plain``, by a user who keeps the binned rows himself, one for each ``max_bin``.

With ``--workers 2``, the default, both get two processors: raymm runs two trials at once in two
processes with a thread each, as it does there by itself, and Optuna one after the other with two
threads each, as the libraries do there by themselves. Beside it stands

- ``abreast``: as ``plain``, by a user who has Optuna run two objectives at once in threads of one
  process (``n_jobs=2``), each with one thread.

Seconds are then those of the clock. With ``--workers 1`` all have one thread, and seconds are those
of the processor: what remains is what a fit itself costs.

Printed are fits a minute, the ratio to each with the smallest and the largest block's, and the
largest difference between two scores of one configuration. Exits with 1 where a ratio is below its
bar in `BARS`, or a score differs by more than `APART`.

    python tests/benchmarks/bench_throughput.py [TABLE:TARGET] [--family lightgbm|xgboost]
        [--fits 60] [--rounds 100] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from raymm import plugins
from raymm.api import _configuration
from raymm.data import ingest
from raymm.evaluation.metrics import metric_for
from raymm.lifecycle import _dataset
from raymm.models import lightgbm, xgboost
from raymm.search import space as spaces
from raymm.search.trial import FLOOR, Prepared, TrialRun, prepare
from raymm.searching import _shape

BARS = {
    1: {"watched": 1.5, "plain": 1.0, "estimator": 1.0, "shared": 0.95},
    2: {"watched": 1.5, "plain": 1.25, "estimator": 1.25, "shared": 1.0, "abreast": 1.0},
}
"""By workers. All but ``watched`` are scored once, and raymm at each rung, of which a tenth of its
time goes into predictions: beside ``plain`` and ``estimator`` 1.5 is out of reach, as 0.85 of a
fit is LightGBM's ``update``, the same for all."""
APART = {"lightgbm": 1e-9, "xgboost": 0.002}
"""XGBoost's ``DMatrix`` is binned anew for each tree's loss, so its cuts are others."""
BLOCK = 20
"""Fits that a contestant makes before the next has its turn. At the end of each block one of two
workers waits for the other, as none does within a search: with 6 that was a tenth of the time."""
ADULT = Path(__file__).parents[3] / "shared" / "data" / "adult.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bout:
    """What all contestants get: the first fold, the task, and the rounds."""

    family: str
    prepared: Prepared
    metric: Any
    rounds: int
    threads: int = 1
    kept: dict[int, Any] = field(default_factory=dict)

    @property
    def fold(self) -> tuple[Any, Any]:
        """Training and validation rows."""
        return self.prepared.folds["ordinal"][0]

    def score(self, raw: Any) -> float:
        """Score probabilities, or those of the last of two classes alone."""
        made = np.asarray(raw)
        if made.ndim == 1 and self.prepared.task == "binary":
            made = np.column_stack([1 - made, made])
        return float(self.metric(self.fold[1].y, made))


def raymm(bout: Bout, config: Mapping[str, Any]) -> float:
    """Run a trial as a worker does."""
    named = {f"{bout.family}.{key}": value for key, value in config.items()}
    run = TrialRun(
        bout.prepared, {"family": bout.family, **named}, bout.metric, seed=0, limit=bout.rounds
    )
    while (rung := run.advance()) is None or not rung.done:
        pass
    assert rung.rounds == bout.rounds
    return rung.value


_HELD: list[Bout] = []


def hold(bout: Bout) -> None:
    """Take in what a worker process needs once."""
    for one in (part for pair in bout.prepared.folds["ordinal"] for part in pair):
        one.x.flags.writeable = one.y.flags.writeable = False
    _HELD.append(bout)


def work(config: Mapping[str, Any]) -> float:
    """Run a trial in a worker process."""
    return raymm(_HELD[0], config)


# ----------------------------------------------------------------------------------- LightGBM


def _lightgbm_parameters(bout: Bout, config: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        **config,
        "objective": lightgbm.OBJECTIVES[bout.prepared.task],
        "bagging_freq": 1 if config["bagging_fraction"] < 1 else 0,
        "num_threads": bout.threads,
        "seed": 0,
        "data_random_seed": 1,
        "verbosity": -1,
    }
    return made | (
        {"num_class": bout.prepared.classes} if bout.prepared.task == "multiclass" else {}
    )


def lightgbm_plain(bout: Bout, config: Mapping[str, Any]) -> float:
    """Bin, train, predict."""
    import lightgbm as lgb

    train, valid = bout.fold
    rows = lgb.Dataset(train.x, label=train.y)
    booster = lgb.train(_lightgbm_parameters(bout, config), rows, bout.rounds)
    return bout.score(booster.predict(valid.x, num_threads=bout.threads))


def lightgbm_watched(bout: Bout, config: Mapping[str, Any]) -> float:
    """Bin, train while the validation rows are scored and reported, predict."""
    import lightgbm as lgb

    train, valid = bout.fold
    trial = _trial()

    def report(env: Any) -> None:
        trial.report(env.evaluation_result_list[0][2], step=env.iteration)
        assert not trial.should_prune()

    rows = lgb.Dataset(train.x, label=train.y)
    watched = lgb.Dataset(valid.x, label=valid.y, reference=rows)
    parameters = _lightgbm_parameters(bout, config) | {"metric": _watched(bout, "multi_logloss")}
    booster = lgb.train(parameters, rows, bout.rounds, valid_sets=[watched], callbacks=[report])
    return bout.score(booster.predict(valid.x, num_threads=bout.threads))


def lightgbm_shared(bout: Bout, config: Mapping[str, Any]) -> float:
    """Train on rows binned once, predict."""
    import lightgbm as lgb

    train, valid = bout.fold
    bins = int(config["max_bin"])
    if bins not in bout.kept:
        fixed = {"max_bin": bins, "feature_pre_filter": False, "data_random_seed": 1}
        fixed |= {"num_threads": bout.threads, "verbosity": -1}
        bout.kept[bins] = lgb.Dataset(train.x, label=train.y, params=fixed).construct()
    parameters = _lightgbm_parameters(bout, config) | {"feature_pre_filter": False}
    booster = lgb.train(parameters, bout.kept[bins], bout.rounds)
    return bout.score(booster.predict(valid.x, num_threads=bout.threads))


def lightgbm_estimator(bout: Bout, config: Mapping[str, Any]) -> float:
    """Fit the estimator, predict."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    train, valid = bout.fold
    kind = LGBMRegressor if bout.prepared.task == "regression" else LGBMClassifier
    given = _lightgbm_parameters(bout, config)
    for key in ("num_threads", "seed", "num_class"):
        given.pop(key, None)
    model = kind(**given, n_estimators=bout.rounds, random_state=0, n_jobs=bout.threads).fit(
        train.x, train.y
    )
    classes = bout.prepared.task != "regression"
    return bout.score(model.predict_proba(valid.x) if classes else model.predict(valid.x))


# ------------------------------------------------------------------------------------ XGBoost


def _xgboost_parameters(bout: Bout, config: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        **config,
        "objective": xgboost.OBJECTIVES[bout.prepared.task],
        "tree_method": "hist",
        "nthread": bout.threads,
        "seed": 0,
        "seed_per_iteration": True,
        "verbosity": 0,
    }
    return made | (
        {"num_class": bout.prepared.classes} if bout.prepared.task == "multiclass" else {}
    )


def xgboost_plain(bout: Bout, config: Mapping[str, Any]) -> float:
    """Make a matrix, train, predict."""
    import xgboost as xgb

    train, valid = bout.fold
    rows = xgb.DMatrix(train.x, label=train.y, nthread=bout.threads)
    booster = xgb.train(_xgboost_parameters(bout, config), rows, bout.rounds)
    return bout.score(booster.predict(xgb.DMatrix(valid.x, nthread=bout.threads)))


def xgboost_watched(bout: Bout, config: Mapping[str, Any]) -> float:
    """Make matrices, train while the validation rows are scored and reported, predict."""
    import xgboost as xgb

    train, valid = bout.fold
    trial = _trial()

    class Report(xgb.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            (values,) = evals_log["valid"].values()
            trial.report(values[-1], step=epoch)
            return bool(trial.should_prune())

    rows = xgb.DMatrix(train.x, label=train.y, nthread=bout.threads)
    watched = xgb.DMatrix(valid.x, label=valid.y, nthread=bout.threads)
    parameters = _xgboost_parameters(bout, config) | {"eval_metric": _watched(bout, "mlogloss")}
    booster = xgb.train(
        parameters, rows, bout.rounds,
        evals=[(watched, "valid")], callbacks=[Report()], verbose_eval=False,
    )  # fmt: skip
    return bout.score(booster.predict(watched))


def xgboost_shared(bout: Bout, config: Mapping[str, Any]) -> float:
    """Train on rows binned once, predict."""
    import xgboost as xgb

    train, valid = bout.fold
    bins = int(config["max_bin"])
    if bins not in bout.kept:
        bout.kept[bins] = xgb.QuantileDMatrix(train.x, train.y, max_bin=bins, nthread=bout.threads)
    booster = xgb.train(_xgboost_parameters(bout, config), bout.kept[bins], bout.rounds)
    return bout.score(booster.inplace_predict(valid.x))


def xgboost_estimator(bout: Bout, config: Mapping[str, Any]) -> float:
    """Fit the estimator, predict."""
    from xgboost import XGBClassifier, XGBRegressor

    train, valid = bout.fold
    kind = XGBRegressor if bout.prepared.task == "regression" else XGBClassifier
    given = _xgboost_parameters(bout, config)
    for key in ("nthread", "seed", "num_class"):
        given.pop(key, None)
    model = kind(**given, n_estimators=bout.rounds, random_state=0, n_jobs=bout.threads).fit(
        train.x, train.y
    )
    classes = bout.prepared.task != "regression"
    return bout.score(model.predict_proba(valid.x) if classes else model.predict(valid.x))


PEERS: dict[str, dict[str, Callable[[Bout, Mapping[str, Any]], float]]] = {
    "lightgbm": {
        "watched": lightgbm_watched,
        "plain": lightgbm_plain,
        "estimator": lightgbm_estimator,
        "shared": lightgbm_shared,
    },
    "xgboost": {
        "watched": xgboost_watched,
        "plain": xgboost_plain,
        "estimator": xgboost_estimator,
        "shared": xgboost_shared,
    },
}


def _watched(bout: Bout, loss: str) -> str:
    """Return what the library scores validation rows by after each round."""
    return {"binary": "auc", "multiclass": loss, "regression": "rmse"}[bout.prepared.task]


def _trial() -> Any:
    return _STUDY[0].ask()


_STUDY: list[Any] = []


def told(peer: Callable[[Bout, Mapping[str, Any]], float]) -> Any:
    """Return a contestant that tells the study its score, as an objective does."""

    def run(bout: Bout, config: Mapping[str, Any]) -> float:
        trial = _STUDY[0].ask()
        _STUDY[0].tell(trial, value := peer(bout, config))
        return value

    return run


def main() -> int:
    """Print the whole; return 1 where a bar is missed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?", default=f"{ADULT}:income")
    parser.add_argument("--family", choices=sorted(PEERS), default="lightgbm")
    parser.add_argument("--fits", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=FLOOR)
    parser.add_argument("--workers", type=int, choices=sorted(BARS), default=2)
    given = parser.parse_args()
    source, _, target = given.table.rpartition(":")
    if not Path(source).exists():
        print(f"{source} is not here; nothing was measured")
        return 2
    if not 1 <= given.rounds <= FLOOR:
        parser.error(f"--rounds must be from 1 to {FLOOR}: later a trial may end by itself")
    config, _ = _configuration(source, {"data.target": target})
    dataset, _ = _dataset(config, lambda _: None, ingest.read(source))
    family = plugins.families.get(given.family)()
    whole = prepare(dataset, [family])
    task = dataset.schema.task
    first = {"ordinal": whole.folds["ordinal"][:1]}
    _STUDY.append(optuna.create_study(pruner=optuna.pruners.NopPruner()))
    bout = Bout(
        family=given.family,
        prepared=Prepared(folds=first, task=task, classes=whole.classes),
        metric=metric_for(
            {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task], task
        ),
        rounds=given.rounds,
        threads=given.workers,
    )
    generator = np.random.default_rng(0)
    # Categories as numbers: sets of them are columns of raymm's own making.
    space = family.space(task, replace(_shape(dataset), nominal=0))
    configs = [spaces.sample(space, generator) for _ in range(given.fits)]
    return 0 if bouts(bout, configs) else 1


def bouts(bout: Bout, configs: list[Any]) -> bool:
    """Let all contestants train all configurations in blocks, and print what came of it."""
    sides = {name: told(peer) for name, peer in PEERS[bout.family].items()}
    names = ("raymm", *sides, *(["abreast"] if bout.threads > 1 else []))
    spent: dict[str, list[float]] = {name: [] for name in names}
    scores: dict[str, list[float]] = {name: [] for name in names}
    clock = time.process_time if bout.threads == 1 else time.perf_counter

    def measure(name: str, run: Callable[[list[Any]], list[float]], block: list[Any]) -> None:
        began = clock()
        scores[name].extend(run(block))
        spent[name].append(clock() - began)

    with ProcessPoolExecutor(
        bout.threads, mp_context=get_context("spawn"), initializer=hold, initargs=(bout,)
    ) as pool:
        alone = bout.threads == 1

        def ours(block: list[Any]) -> list[float]:
            return [raymm(bout, one) for one in block] if alone else list(pool.map(work, block))

        def abreast(block: list[Any]) -> list[float]:
            single = replace(bout, threads=1)
            with ThreadPoolExecutor(bout.threads) as threads:
                return list(threads.map(lambda one: sides["plain"](single, one), block))

        if not alone:
            list(pool.map(work, configs[:1] * 4 * bout.threads))  # their processes stand
        for start in range(0, len(configs), BLOCK):
            block = configs[start : start + BLOCK]
            measure("raymm", ours, block)
            for name, peer in sides.items():
                measure(name, lambda held, peer=peer: [peer(bout, one) for one in held], block)
            if not alone:
                measure("abreast", abreast, block)
    return _verdict(bout, spent, scores)


def _verdict(
    bout: Bout, spent: Mapping[str, list[float]], scores: Mapping[str, list[float]]
) -> bool:
    per = {name: 60 * len(scores[name]) / sum(part) for name, part in spent.items()}
    train = bout.fold[0].x
    print(f"{bout.family}, {train.shape[0]:,} rows x {train.shape[1]}, {bout.rounds} rounds")
    print(f"raymm {per['raymm']:.1f} fits a minute")
    kept = True
    for name, bar in BARS[bout.threads].items():
        ratios = [b / a for a, b in zip(spent["raymm"], spent[name], strict=True)]
        apart = float(np.abs(np.subtract(scores["raymm"], scores[name])).max())
        fine = per["raymm"] >= bar * per[name] and apart <= APART[bout.family]
        kept &= fine
        print(
            f"Optuna, {name}: {per[name]:.1f}; ratio {per['raymm'] / per[name]:.2f} (at least "
            f"{bar}; blocks {min(ratios):.2f} to {max(ratios):.2f}, median "
            f"{statistics.median(ratios):.2f}); scores differ by {apart:.2g} at most"
            + ("" if fine else "  MISSED")
        )
    print("kept" if kept else "MISSED")
    return kept


if __name__ == "__main__":
    sys.exit(main())
