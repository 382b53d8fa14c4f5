"""Writes a large CSV file whose target can be learnt, for the benchmark of ingest.

Each row takes about 150 bytes: measurements with and without gaps, counts, categories of few and
of many values, a flag in words, a moment, and a binary target. The same seed gives the same bytes.

    python tests/benchmarks/make_large.py PATH [--rows 10_000_000] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

TARGET = "bought"
_CHUNK = 250_000


def chunk(start: int, rows: int, rng: np.random.Generator) -> pa.Table:
    """Return rows of the table; ``start`` is the number of the first."""
    latent = rng.normal(size=(rows, 10))
    columns: dict[str, object] = {"order_id": np.arange(start, start + rows)}
    for i in range(7):
        columns[f"measure_{i}"] = np.round(latent[:, i] * 10.0 ** (i % 4) + i, 6)
    gaps = np.round(latent[:, 7] * 100, 2)
    columns["income"] = pa.array(gaps, mask=rng.random(rows) < 0.05)
    for i in range(4):
        columns[f"count_{i}"] = rng.poisson(3 * 10**i, rows)
    names = pa.array([f"city_{i:03d}" for i in range(300)])
    columns["city"] = names.take(pa.array(rng.integers(0, 300, rows)))
    shops = pa.array([f"shop-{i:05d}" for i in range(20_000)])
    columns["shop"] = shops.take(pa.array((rng.random(rows) ** 2 * 20_000).astype(np.int64)))
    plans = pa.array(["basic plan", "family plan", "premium plan", "student plan"])
    plan = rng.integers(0, 4, rows)
    columns["plan"] = plans.take(pa.array(plan))
    member = latent[:, 8] > 0.3
    columns["member"] = pa.array(["no", "yes"]).take(pa.array(member.astype(np.int64)))
    seconds = 1_600_000_000 + rng.integers(0, 10**8, rows)
    columns["ordered_at"] = pa.array(seconds, pa.timestamp("s"))
    score = latent[:, 0] + latent[:, 1] * latent[:, 2] + member + 0.5 * (plan == 2) + latent[:, 9]
    columns[TARGET] = (score > 0.8).astype(np.int8)
    return pa.table(columns)


def make(path: Path, rows: int, seed: int = 0) -> None:
    """Write the table with ``rows`` rows to ``path``."""
    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, _CHUNK):
        part = chunk(start, min(_CHUNK, rows - start), rng)
        if writer is None:
            options = pa.csv.WriteOptions(quoting_style="none")
            writer = pa.csv.CSVWriter(str(path), part.schema, write_options=options)
        writer.write_table(part)
    if writer is not None:
        writer.close()


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make(given.path, given.rows, given.seed)


if __name__ == "__main__":
    main()
