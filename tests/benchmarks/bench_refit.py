"""What the refit on all rows brings: the same run with ``goal.refit`` train and all.

    python tests/benchmarks/bench_refit.py TABLE.csv TARGET [--trials 8] [--exclude A,B]

Of the table's rows 30 % are held out first, by a seed; raymm sees the others alone. It runs twice
on one ledger, so that both ship the same recipe: trained on training rows, and on test rows too.
Printed is the metric of both on the rows that were held out, and the interval of the difference
(bootstrap over rows, paired, 95 %). It fails where the second run searches again, where the refit
is not taken, or where it is surely worse on new rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from raymm import bootstrap, config, lifecycle
from raymm.bundle.run import Runner
from raymm.evaluation.metrics import metric_for
from raymm.features.columns import encode, encode_target

HELD = 0.3
"""Share of the rows that raymm never sees."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("target")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--families", default="lightgbm")
    parser.add_argument("--techniques", default="truncate,quantize")
    parser.add_argument("--exclude", default="", help="Columns, with commas.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    frame = pd.read_csv(given.table, dtype=str, keep_default_na=False)
    held = np.random.default_rng(given.seed).random(len(frame)) < HELD
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "seen.csv"
        frame[~held].to_csv(seen, index=False)
        runs = [_run(given, seen, folder, refit) for refit in ("train", "all")]
    first, second = runs
    new = frame[held].reset_index(drop=True)
    metric = metric_for(first.evaluation.score.metric, first.schema.task)
    truth, known = encode_target(new, first.schema)
    truth, new = truth[known], new[known]
    told = [Runner(run.bundle).predict(encode(new, run.schema)) for run in runs]
    sign = 1.0 if metric.direction == "maximize" else -1.0
    drawn = bootstrap.replicates(
        metric, truth, told, count=1000, generator=np.random.default_rng(given.seed)
    )
    gains = sign * (drawn[:, 1] - drawn[:, 0])
    low, high = np.quantile(gains, [0.025, 0.975])
    print(
        json.dumps(
            {
                "table": Path(given.table).stem,
                "rows": {"train": len(first.dataset.train), "test": len(first.dataset.test)},
                "held": int(held.sum()),
                "metric": metric.name,
                "proven": first.evaluation.score.value,
                "train": float(metric(truth, told[0])),
                "all": float(metric(truth, told[1])),
                "gain": sign * float(metric(truth, told[1]) - metric(truth, told[0])),
                "gain_low": float(low),
                "gain_high": float(high),
                "seconds": [round(run.seconds, 1) for run in runs],
                "resumed": second.trials.resumed,
                "check": [c.statement for c in second.blessing.checks if c.name == "refit"],
            },
            indent=1,
        )
    )
    whole = second.trials.resumed == len(second.trials.trials)
    taken = second.version.summary["refit"] == "all"
    return 0 if whole and taken and high > 0 else 1


def _run(given: argparse.Namespace, seen: Path, folder: str, refit: str) -> lifecycle.Run:
    raw = {
        "data": {
            "source": str(seen),
            "target": given.target,
            "exclude": [one for one in given.exclude.split(",") if one],
        },
        "goal": {"refit": refit},
        "search": {
            "trials": given.trials,
            "families": given.families.split(","),
            "parallel": 1,
            "ensemble": "off",
        },
        "compression": {"techniques": given.techniques.split(",")},
        "storage": str(Path(folder) / "home"),
        "seed": given.seed,
    }
    started = time.monotonic()
    done = lifecycle.run(config.parse(raw))
    print(f"{refit}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
