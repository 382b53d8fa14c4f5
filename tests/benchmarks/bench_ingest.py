"""Rates and memory of reading and describing a large CSV file, beside pandas and pyarrow.

The file is made for the purpose (see ``make_large.py``): 10 million rows are about 1.5 GB, and
14 million 2.1 GB. Each contestant reads it in a process of its own, in turn, ``--repeat`` times;
the best is shown. MB are 10^6 bytes of the file; CPU seconds are of all threads. Exits with 1 where
raymm takes more than twice pyarrow's CPU time to read (it also hashes every cell and keeps
columns in less memory), where describing takes longer than reading, or where a process takes more
than 12 GB.

With ``--life 5m`` a whole run follows, ``raymm run --time 5m``; its memory is that of all its
processes together, on Linux only.

    python tests/benchmarks/bench_ingest.py [PATH] [--rows 14_000_000] [--repeat 1] [--life TIME]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make_large

MOST = 12e9
CONTESTANTS = ("pandas", "pyarrow", "raymm")


def pandas(path: str) -> dict[str, Any]:
    """Read with pandas' own types."""
    import pandas as pd

    return measured("read", lambda: pd.read_csv(path))


def pyarrow(path: str) -> dict[str, Any]:
    """Read into an Arrow table."""
    from pyarrow import csv

    return measured("read", lambda: csv.read_csv(path))


def raymm(path: str) -> dict[str, Any]:
    """Read, describe and infer the schema."""
    from raymm.data import ingest, schema, statistics
    from raymm.sections import DataConfig

    made: dict[str, Any] = {}
    told = measured("read", lambda: made.update(table=ingest.read(path)))
    told["notes"] = made["table"].notes
    table = made["table"]
    told |= measured("describe", lambda: made.update(found=statistics.describe(table)))
    config = DataConfig(source=path, target=make_large.TARGET)
    told |= measured("infer", lambda: schema.infer(table, made["found"], config))
    return told


def measured(what: str, work: Callable[[], object]) -> dict[str, Any]:
    """Return wall and CPU seconds of a piece of work, and the process's peak memory after it."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    seconds = {f"{what}_wall": time.perf_counter() - wall}
    seconds[f"{what}_cpu"] = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return seconds | {f"{what}_peak": peak}


def best(path: str, repeat: int) -> dict[str, dict[str, Any]]:
    """Return each contestant's best measurements; they take turns."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(repeat):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, path, "--measure", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name} failed: {done.stderr[-2000:]}")
            told = json.loads(done.stdout)
            kept = found.setdefault(name, told)
            found[name] = {
                key: min(kept[key], value) if isinstance(value, float | int) else value
                for key, value in told.items()
            }
    return found


def life(path: str, budget: str) -> float:
    """Run the whole life; return the most bytes that its processes held together."""
    most, marker = 0, f"RAYMM_BENCH={time.time_ns()}"
    key, _, value = marker.partition("=")
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as home:
        command = [sys.executable, "-m", "raymm", "run", path, "--target", make_large.TARGET]
        command += ["--time", budget, "--seed", "0", "--storage", home]
        running = subprocess.Popen(command, env={**os.environ, key: value})
        while running.poll() is None:
            most = max(most, held(marker.encode()))
            time.sleep(0.5)
    print(f"life: exit {running.returncode}, {most / 1e9:.1f} GB at the most")
    return most if running.returncode in (0, 5) else MOST + 1


def held(marker: bytes) -> int:
    """Return the bytes (proportional set size) of all processes with a marker in their setting.

    Ray's processes are nobody's children, but inherit the environment.
    """
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes():
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has ended, or is another user's
            continue
    return total * 1024


def main() -> int:
    """Print a line a contestant; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=14_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--life", default="", metavar="TIME")
    parser.add_argument("--measure", choices=CONTESTANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure = {"pandas": pandas, "pyarrow": pyarrow, "raymm": raymm}[given.measure]
        print(json.dumps(measure(given.path)))
        return 0
    with tempfile.TemporaryDirectory(prefix="raymm-bench-") as folder:
        path = given.path or f"{folder}/large.csv"
        if not Path(path).exists():
            make_large.make(Path(path), given.rows)
        size = Path(path).stat().st_size / 1e6
        found = best(path, given.repeat)
        print(f"{size:,.0f} MB")
        for name, told in found.items():
            for what in ("read", "describe", "infer"):
                if f"{what}_cpu" in told:
                    wall, cpu, peak = (told[f"{what}_{key}"] for key in ("wall", "cpu", "peak"))
                    print(
                        f"{name:8} {what:9} {size / wall:7,.0f} MB/s  {size / cpu:7,.0f} MB/CPU s  "
                        f"peak {peak / 1e9:5.2f} GB"
                    )
        ours, theirs = found["raymm"], found["pyarrow"]
        taken = [ours["infer_peak"], *([life(path, given.life)] if given.life else [])]
    slow = ours["read_cpu"] > 2 * theirs["read_cpu"] or ours["describe_cpu"] > ours["read_cpu"]
    return int(slow or max(taken) > MOST)


if __name__ == "__main__":
    sys.exit(main())
