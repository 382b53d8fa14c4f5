"""Scores of `raymm run` with no setting but the target, and how well it keeps its time.

Each table of the shared data folder is run by the command line with ``--time 3m --seed 0``; its
score on the test rows (a 20 % split) is held against the bound below, and the search's seconds
against the budget plus 5 %. Exits with 1 where a bound is missed.

    python tests/benchmarks/bench_life.py [TABLE …] [--time 3m]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from raymm.durations import seconds

DATA = Path(__file__).parents[3] / "shared" / "data"
BOUNDS = {
    "adult": ("income", "roc_auc", 0.925, ()),
    "telco_churn": ("Churn", "roc_auc", 0.84, ()),
    "california_housing": ("median_house_value", "rmse", 47_000, ()),
    "bike_sharing_hour": ("cnt", "rmse", 45, ("data.exclude=[casual, registered]",)),
    "letter": ("class", "accuracy", 0.95, ()),
    "iris": ("species", "accuracy", 0.90, ()),
}


def run(table: str, time: str, home: str) -> dict:
    """Run one table and return what ``--json`` printed, with ``code`` the exit status."""
    target, _, _, settings = BOUNDS[table]
    command = [sys.executable, "-m", "raymm", "run", str(DATA / f"{table}.csv"), "--json"]
    command += ["--target", target, "--time", time, "--seed", "0", "--storage", home]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(f"{table}: no output, exit {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) | {"code": done.returncode}


def main() -> int:
    """Print a line a table; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=list(BOUNDS))
    parser.add_argument("--time", default="3m")
    given = parser.parse_args()
    if not DATA.is_dir():
        print(f"the tables are not here ({DATA}); nothing was measured")
        return 2
    missed = 0
    budget = seconds(given.time)
    for table in given.tables:
        _, metric, bound, _ = BOUNDS[table]
        with tempfile.TemporaryDirectory(prefix="raymm-bench-") as home:
            found = run(table, given.time, home)
        if "error" in found:
            print(f"{table:20} FAILED: {found['error']['message']}")
            missed += 1
            continue
        better = found["score"] <= bound if metric == "rmse" else found["score"] >= bound
        over = found["search_seconds"] / budget - 1
        good = better and found["metric"] == metric and over <= 0.05
        missed += not good
        print(
            f"{table:20} {metric} {found['score']:.5g} (bound {bound}; trivial "
            f"{found['baseline']:.5g})  {found['best']['family']:9} {found['trials']:4} trials  "
            f"search {found['search_seconds']:.1f} s ({over:+.1%})  "
            f"whole {found['seconds']:.0f} s  "
            f"bundle {found['packed_bytes']:,} → {found['bundle_bytes']:,} bytes  "
            f"{'ok' if good else 'MISSED'}",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
