"""How much smaller `raymm run` makes what it ships, and how much longer it takes for that.

Each table of ``--data`` is run with no setting but its target, the columns that are left out
(`LEAKS`), ``--time`` of search and a loss of 0.005 allowed. Then the rest of the run is done once
more from the same trials with no compression: what that takes less is what compression takes, told
as a share of the whole run without it. Shown beside it are the score on the test rows of both, what
was chosen, and where a bar is missed, all that was measured and left out. Exits with 1 where a
bundle is less than 10 times smaller than it was, or a run more than 25 % longer. A file of no more
than `SMALL` bytes is as small as one gets: the schema and the reference statistics take as much.

    python tests/benchmarks/bench_size.py [TABLE …] [--time 60] [--loss 0.005] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
SMALL = 8_000


def measure(source: str, target: str, seconds: float, loss: float) -> bool:
    """Run a table in this process with and without compression, and print what came of it."""
    from raymm import lifecycle
    from raymm.api import _configuration

    begun: dict[str, float] = {}

    def notify(told: object) -> None:
        begun.setdefault(told.stage, time.monotonic())

    def run(home: str, **changes: object) -> tuple[lifecycle.Run, float]:
        begun.clear()
        given = {"data.target": target, "search.time": seconds, "seed": 0, "storage": home}
        given |= {"data.exclude": LEAKS.get(Path(source).stem, [])}
        config, table = _configuration(source, {**given, **changes})
        made = lifecycle.run(config, notify=notify, table=table)
        return made, time.monotonic() - begun["build"]

    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as home:
        made, rest = run(home, **{"compression.max_loss": loss})
        plain, without = run(home, **{"compression.techniques": []})
    assert plain.trials.resumed == len(plain.trials.trials)
    whole = made.seconds - rest + without
    shipped, before = made.summary()["bundle_bytes"], plain.summary()["bundle_bytes"]
    longer, smaller = (rest - without) / whole, before / shipped
    fine = (smaller >= SMALLER or shipped <= SMALL) and longer <= LONGER
    one = next(one for one in made.frontier.candidates if one.chosen)
    print(
        f"{Path(source).stem:20} {before:>10,} to {shipped:>9,} bytes, {smaller:6.1f} x   "
        f"{whole:4.0f} s and {rest - without:3.0f} s, {longer:+.0%}   "
        f"{made.evaluation.score.metric} {plain.evaluation.score.value:.5g} to "
        f"{made.evaluation.score.value:.5g}   "
        f"{one.technique} {dict(one.parameters)}{'' if fine else '   MISSED'}",
        flush=True,
    )
    if not fine:
        for form in made.frontier.candidates:
            what = f"{form.technique} {dict(form.parameters)}: {form.bytes:,} bytes"
            print(f"    {what}, {form.loss.value:.3g}, at most {form.loss.high:.3g} lost")
        for told in (*made.frontier.left_out, made.version.summary["compression"]):
            print(f"    {told}", flush=True)
    return fine


def main() -> int:
    """Print a line a table; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=list(TARGETS))
    parser.add_argument("--time", type=float, default=60.0)
    parser.add_argument("--loss", type=float, default=0.005)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.tables) - set(TARGETS)
    if unknown:
        parser.error(f"unknown tables {sorted(unknown)}; choose among {', '.join(TARGETS)}")
    if given.alone:
        (table,) = given.tables
        source = str(given.data / f"{table}.csv")
        return 0 if measure(source, TARGETS[table], given.time, given.loss) else 1
    missed = absent = 0
    for table in given.tables:
        if not (given.data / f"{table}.csv").exists():
            print(f"{table:20} is not in {given.data}")
            absent += 1
            continue
        command = [sys.executable, __file__, table, "--alone", "--data", str(given.data)]
        command += ["--time", str(given.time), "--loss", str(given.loss)]
        quiet = {**os.environ, "RAY_DEDUP_LOGS": "1"}
        done = subprocess.run(command, env=quiet, stderr=subprocess.DEVNULL, check=False)
        missed += done.returncode != 0
        if done.returncode not in (0, 1):
            print(f"{table:20} FAILED with exit {done.returncode}")
    print(f"{missed} of {len(given.tables) - absent} tables missed a bar")
    return 2 if absent == len(given.tables) else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
