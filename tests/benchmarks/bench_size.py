"""How much smaller `raymm run` makes what it ships, and how much longer it takes for that.

Each table of ``--data`` is run with no setting but its target, the columns that are left out
(`LEAKS`), ``--time`` of search (0 lets it end by itself, as `raymm run` does) and a loss of 0.005
allowed. Then, in a process of its own, the rest of the run is done once more from the same trials
with no compression. What the first rest took longer is what compression takes, told as a share of
the whole run without it; training the winner, which both do alike, is left out of the difference,
and so is all that the second did to measure the one form there is. Shown beside it are the score on
the test rows of both, what was chosen, how much smaller the file is than what packing alone makes
of the winner (what a run with no technique ships), and where a bar is missed or the winner ships as
it is, all that was measured and left out. Exits with 1 where a bundle is less than 10 times smaller
than uncompressed (its graph as it is, as `raymm export onnx` writes the winner's, and the records),
or a run more than 25 % longer.

    python tests/benchmarks/bench_size.py [TABLE …] [--time 60] [--loss 0.005] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "shared" / "data"
TARGETS = {
    "adult": "income",
    "telco_churn": "Churn",
    "california_housing": "median_house_value",
    "bike_sharing_hour": "cnt",
    "letter": "class",
    "sms_spam": "label",
    "elec2": "class",
    "iris": "species",
}
LEAKS = {"bike_sharing_hour": ["casual", "registered"]}
"""Columns whose sum is the target: with them the best model is a linear one of a few bytes."""
SMALLER, LONGER = 10.0, 0.25


def run(table: str, data: Path, seconds: float, home: str, **changes: object) -> dict[str, Any]:
    """Run a table in this process; return what came of it, and how long the parts of it took."""
    from raymm import lifecycle, stages
    from raymm.api import _configuration

    begun: dict[str, float] = {}
    took = {"explore": 0.0, "fit": 0.0}

    def notify(told: object) -> None:
        begun.setdefault(told.stage, time.monotonic())

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: object) -> Any:
            began = time.monotonic()
            try:
                return function(*given)
            finally:
                took[name] += time.monotonic() - began

        return call

    stages._explore, stages.fitted = (
        timed("explore", stages._explore),
        timed("fit", stages.fitted),
    )
    given = {"data.target": TARGETS[table], "data.exclude": LEAKS.get(table, []), "seed": 0}
    given |= {"search.time": seconds or None, "storage": home}
    config, rows = _configuration(str(data / f"{table}.csv"), {**given, **changes})
    made = lifecycle.run(config, notify=notify, table=rows)
    rest = time.monotonic() - begun["build"] - took["fit"]
    chosen = next(one for one in made.frontier.candidates if one.chosen)
    forms = [
        f"{form.technique} {dict(form.parameters)}: {form.bytes:,} bytes, "
        f"{form.loss.value:.3g}, at most {form.loss.high:.3g} lost"
        for form in made.frontier.candidates
    ]
    return {
        "seconds": made.seconds,
        "rest": rest,
        "explore": took["explore"],
        "bytes": made.summary()["bundle_bytes"],
        "uncompressed": made.uncompressed_bytes,
        "metric": made.evaluation.score.metric,
        "score": made.evaluation.score.value,
        "resumed": made.trials.resumed == len(made.trials.trials),
        "chosen": f"{chosen.technique} {dict(chosen.parameters)}",
        "told": [*forms, *made.frontier.left_out, made.version.summary.get("compression", "")],
    }


def measure(table: str, given: argparse.Namespace) -> bool:
    """Run a table with and without compression, each in its process, and print what came of it."""
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as home:
        command = [sys.executable, __file__, table, "--data", str(given.data)]
        command += ["--time", str(given.time), "--loss", str(given.loss), "--home", home]
        quiet = {**os.environ, "RAY_DEDUP_LOGS": "1"}
        results = []
        for part in ("with", "without"):
            # A version of the first would be compared with as the champion by the second.
            shutil.rmtree(Path(home) / "models", ignore_errors=True)
            done = subprocess.run(
                [*command, "--part", part],
                env=quiet,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"{table:20} FAILED with exit {done.returncode}: {done.stderr[-2000:]}")
                return False
            results.append(json.loads(done.stdout.splitlines()[-1]))
    made, plain = results
    assert plain["resumed"]
    more = made["rest"] - (plain["rest"] - plain["explore"])
    longer, smaller = more / (made["seconds"] - more), made["uncompressed"] / made["bytes"]
    fine = smaller >= SMALLER and longer <= LONGER
    print(
        f"{table:20} {made['uncompressed']:>10,} to {made['bytes']:>9,} bytes, {smaller:6.1f} x"
        f" (packing alone {plain['bytes']:,}, {plain['bytes'] / made['bytes']:.1f} x)"
        f"   {made['seconds'] - more:4.0f} s and {more:3.0f} s, {longer:+.0%}   "
        f"{made['metric']} {plain['score']:.5g} to {made['score']:.5g}   "
        f"{made['chosen']}{'' if fine else '   MISSED'}",
        flush=True,
    )
    for told in made["told"] if not fine or made["bytes"] == plain["bytes"] else ():
        print(f"    {told}", flush=True)
    return fine


def main() -> int:
    """Print a line a table; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=list(TARGETS))
    parser.add_argument("--time", type=float, default=60.0)
    parser.add_argument("--loss", type=float, default=0.005)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--part", choices=("with", "without"), help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.tables) - set(TARGETS)
    if unknown:
        parser.error(f"unknown tables {sorted(unknown)}; choose among {', '.join(TARGETS)}")
    if given.part:
        loss, none = {"compression.max_loss": given.loss}, {"compression.techniques": []}
        changes = loss if given.part == "with" else none
        print(json.dumps(run(given.tables[0], given.data, given.time, given.home, **changes)))
        return 0
    missed = absent = 0
    for table in given.tables:
        if not (given.data / f"{table}.csv").exists():
            print(f"{table:20} is not in {given.data}")
            absent += 1
            continue
        missed += not measure(table, given)
    print(f"{missed} of {len(given.tables) - absent} tables missed a bar")
    return 2 if absent == len(given.tables) else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
