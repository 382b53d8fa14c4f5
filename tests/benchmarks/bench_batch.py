"""What it brings that requests are predicted together that wait (``serving.batch``).

One replica's application under uvicorn, without Ray, as it is and, in alternating rounds of one
run, as it is not: with ``serving.batch`` switched off for a model whose requests are joined, and
with requests joined for one whose are not. Both sides of a round answer on the event loop, or both
in threads, as the first found the model quick or slow. One row over HTTP, at 1, 16 and 64 clients,
of

- neighbors: 8,000 of 10,000 rows of 100 numbers are kept, and each request compared with them;
- svm: the same with the support vectors of 4,000 rows;
- forest, lightgbm: 200 deep trees, and 200 of 31 leaves, both quicker than the HTTP around them;
- linear: the same 100 numbers, added up.

Ratios are medians over the rounds, of each round's two sides. Ends with 1 where one is missed:

- where requests are joined of a model that takes `SLOW` or more for a row, 16 and 64 clients get at
  least 1.5 times the answers a second, and of a quicker one as many;
- where they are not, at least 0.95 times what they would get if they were;
- one client's median is at most 1.15 times as long: nobody waits for a call to fill.

    python tests/benchmarks/bench_batch.py [ROUNDS] [--only MODEL …]
"""

import argparse
import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import bench_serve

AHEAD, LEVEL, ALONE = 1.5, 0.95, 1.15
SLOW = 0.0005
"""Seconds: about what HTTP takes."""
MODELS = {
    "neighbors": (
        (10_000, 100),
        {"k": 8, "weights": "distance", "metric": "euclidean", "relevance": 0.5},
    ),
    "svm": ((4_000, 100), {"C": 10.0, "width": 1.0}),
    "forest": ((10_000, 10), {"max_features": 0.3, "max_samples": 1.0, "min_samples_leaf": 2}),
    "lightgbm": ((4_000, 10), {"learning_rate": 0.1, "num_leaves": 31}),
    "linear": ((4_000, 100), {"C": 1.0}),
}
"""By family: rows and columns of the table, and its configuration."""


# ------------------------------------------------------------------------------------ the models


def make_model(family, folder):
    """Write a bundle of a family, and the body that asks for a row of it."""
    import pandas as pd

    from raymm.artifacts import Column, Dataset, Lineage, Recipe, Schema, Trial
    from raymm.bundle.build import build
    from raymm.data.statistics import reference
    from raymm.features.columns import encode

    (count, width), config = MODELS[family]
    names = [f"number_{place}" for place in range(width)]
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(count, width)).astype(np.float32), columns=names)
    signal = frame[names[0]] * frame[names[1]] + frame[names[2]] + generator.normal(size=count)
    columns = [Column(name=name, kind="number", example=0.0) for name in names]
    schema = Schema(
        columns=(*columns, Column(name="y", kind="category", role="target")),
        target="y", task="binary", classes=("no", "yes"),
    )  # fmt: skip
    rows = np.arange(count)
    dataset = Dataset(
        tensors=encode(frame, schema), y=(signal > 0).to_numpy().astype(np.int64), frame=frame,
        schema=schema, train=rows, test=rows[:0], folds=(), sha256="0" * 64, source="made",
    )  # fmt: skip
    made = {"family": family, **config}
    trial = Trial(id="0", number=0, config=made, status="finished", value=0.0, rounds=200)
    lineage = Lineage(
        run="bench", data_sha256="0" * 64, source="made", seed=0, ledger="0" * 64,
        configuration={}, trial={}, packages={},
    )  # fmt: skip
    bundle, _ = build(
        dataset, Recipe.of(trial), rows=rows, statistics=reference(dataset),
        lineage=lineage, threads=2, check_rows=rows[:200],
    )  # fmt: skip
    (folder / family).write_bytes(pickle.dumps(bundle))
    record = json.loads(frame.head(1).to_json(orient="records"))[0]
    (folder / f"{family}.json").write_text(json.dumps({"records": [record]}))


def serve(family, side, port, folder):
    """Answer for a family; ``side`` is of ``serving.batch``, or "joined", whatever that gains.

    The side "auto" writes beside it what its rehearsal found.
    """
    import gc
    from dataclasses import replace

    import uvicorn

    from raymm.bundle.run import Runner
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app
    from raymm.serving.rehearsal import warmed
    from raymm.serving.sources import FixedModels

    bundle = pickle.loads((folder / family).read_bytes())
    runner = Runner(bundle, compiled=True)
    served = warmed(family, 1, "0" * 64, runner, statistics=bundle.statistics)
    if side == "auto":
        about = {"joined": served.joined, "row_seconds": served.row_seconds}
        (folder / f"{family}.auto").write_text(json.dumps(about))
    else:
        about = json.loads((folder / f"{family}.auto").read_text())
        served = replace(served, joined=side == "joined", row_seconds=about["row_seconds"])
    # As it is none may be refused; one by one sixty-four would wait too long for most.
    bounds = {"batch": "off", "max_wait": "off"} if side == "off" else {}
    config = ServingConfig(**bounds)
    app = create_app(FixedModels(served), config=config, tokens={})
    gc.collect()
    gc.freeze()  # as a replica does: else all that was imported is looked through, for 0.2 s
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


# --------------------------------------------------------------------------------------- the run


def run(family, rounds, folder):
    """Return what a family's rehearsal found, and each round's {side: {clients: figures}}."""
    make = [sys.executable, __file__, "make", family, str(folder)]
    subprocess.run(make, check=True)
    with contextlib.ExitStack() as stack:
        servers = {}

        def begin(side):
            port = bench_serve._free_port()
            command = [sys.executable, __file__, "serve", family, side, str(port), str(folder)]
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            bench_serve._await_port(port, process)
            servers[side] = port, f"/v1/models/{family}/predict"

        begin("auto")
        about = json.loads((folder / f"{family}.auto").read_text())
        begin("off" if about["joined"] else "joined")
        body = folder / f"{family}.json"
        found = bench_serve._rounds(rounds, servers, bench_serve.CLIENTS, body)
    return about, found


def judged(found, joined, row_seconds):
    """Yield what is compared, its ratio, its bound and whether that holds."""
    ahead = AHEAD if row_seconds >= SLOW else 1.0
    sides = "auto", "off" if joined else "joined"
    for clients in bench_serve.CLIENTS:
        if clients == 1:
            value = bench_serve.ratio(found, clients, "median", *sides)
            yield "median, 1 client", value, f"at most {ALONE}", value <= ALONE
            continue
        value = bench_serve.ratio(found, clients, "rate", *sides)
        least = ahead if joined else LEVEL
        yield f"requests/s, {clients} clients", value, f"at least {least}", value >= least
        value = bench_serve.ratio(found, clients, "p99", *sides)
        yield f"p99, {clients} clients", value, "not judged", True


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    chosen = parser.parse_args()
    held = True
    print(f"{os.cpu_count()} cores; as it is / as it is not:")
    for family in chosen.only:
        with tempfile.TemporaryDirectory() as folder:
            about, found = run(family, chosen.rounds, Path(folder))
        how = "joined, against alone" if about["joined"] else "alone, against joined"
        print(f"== {family}: {1e3 * about['row_seconds']:.3g} ms a row, {how}")
        bench_serve.show(found)
        for what, value, bound, good in judged(found, **about):
            print(f"{what:25} {value:6.3f}  ({bound}){'' if good else '  NOT HELD'}", flush=True)
            held &= good
    return 0 if held else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", family, folder]:
            make_model(family, Path(folder))
        case ["serve", family, side, port, folder]:
            serve(family, side, int(port), Path(folder))
        case _:
            sys.exit(main())
