"""How many rows a second a request of many rows is answered at, by the format of its body.

In one process, in alternating rounds, the same rows of a table like that of the census of 1994
(six numbers, eight words, one of them of 42 values) go through

- graph: the runner alone in onnxruntime, with the tensors already made;
- compiled: the same in machine code, as the application runs it where numba is installed;
- json, csv, arrow: the whole application without a socket, the answer in the body's own format;
- http: the same over HTTP, by uvicorn on loopback, from the first byte sent to the last received.

Seconds are the processor's, as all runs on one thread at a time, but over HTTP, where two threads
wait for each other, and for the graph beside it, they are the clock's. Ends with 1 unless CSV and
Arrow reach 0.8 of the graph's rows a second in both, and all predictions are equal to the bit.

    python tests/benchmarks/bench_bulk.py [ROUNDS] [--rows 10000]
"""

import argparse
import asyncio
import contextlib
import http.client
import io
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))
import bench_serve

BAR = 0.8
MEDIA = {
    "json": b"application/json",
    "csv": b"text/csv",
    "arrow": b"application/vnd.apache.arrow.stream",
}
SIZES = {"workclass": 9, "education": 16, "marital": 7, "occupation": 15, "relationship": 6,
         "race": 5, "sex": 2, "country": 42}  # fmt: skip


def table(rows, seed=0):
    """Return rows of whole numbers as skewed as the census', words, and a target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": rng.integers(17, 91, rows),
        "weight": rng.lognormal(12, 0.5, rows).astype(np.int64),
        "years": rng.integers(1, 17, rows),
        "gain": np.where(rng.random(rows) < 0.08, rng.lognormal(8, 1.3, rows), 0).astype(np.int64),
        "loss": np.where(rng.random(rows) < 0.05, rng.normal(1870, 380, rows), 0).astype(np.int64),
        "hours": rng.integers(1, 100, rows),
    })  # fmt: skip
    for name, size in SIZES.items():
        words = np.array([f"{name}-{place}" for place in range(size)], dtype=object)
        frame[name] = words[np.minimum(rng.geometric(0.35, rows) - 1, size - 1)]
    signal = (frame["age"] - 38) / 20 + (frame["years"] - 10) / 4 + (frame["sex"] == "sex-0")
    return frame, np.where(signal + rng.normal(size=rows) > 1, ">50K", "<=50K")


def served(rounds=200):
    """Return a version of a LightGBM model of the table, and a runner of it in onnxruntime."""
    from raymm.artifacts import Column, Schema
    from raymm.bundle.packed import Bundle
    from raymm.bundle.run import Runner
    from raymm.serving.rehearsal import warmed

    frame, y = table(4000)
    columns = [
        Column(name=name, kind="category", categories=tuple(sorted(set(values))))
        if name in SIZES
        else Column(name=name, kind="number", example=1.0)
        for name, values in frame.items()
    ]
    columns.append(Column(name="y", kind="category", role="target"))
    schema = Schema(columns=tuple(columns), target="y", task="binary", classes=("<=50K", ">50K"))
    data = bench_serve._bundle(frame, y, schema=schema, rounds=rounds)
    bundle = Bundle.from_bytes(data)
    version = warmed("census", 1, "0" * 64, Runner(bundle, compiled=True), statistics=None)
    return version, Runner(bundle)


def bodies(frame):
    """Return the same rows in each format."""
    whole = pa.Table.from_pandas(frame, preserve_index=False)
    text, stream = io.BytesIO(), io.BytesIO()
    arrow_csv.write_csv(whole, text)
    with pa.ipc.new_stream(stream, whole.schema) as writer:
        writer.write_table(whole)
    records = frame.to_json(orient="records")
    return {
        "json": b'{"records":' + records.encode() + b"}",
        "csv": text.getvalue(),
        "arrow": stream.getvalue(),
    }


def probabilities(kind, body):
    """Return the second class' probabilities of an answer."""
    import json

    if kind == "json":
        return np.array([row[">50K"] for row in json.loads(body)["probabilities"]])
    if kind == "csv":
        return arrow_csv.read_csv(io.BytesIO(body))["probability_>50K"].to_numpy()
    return pa.ipc.open_stream(body).read_all()["probability_>50K"].to_numpy()


async def ask(app, kind, body):
    """Send a request to the application; returns the answer's body."""
    pieces, status = [], []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        status.append(message.get("status"))
        pieces.append(message.get("body", b""))

    headers = [(b"content-type", MEDIA[kind]), (b"accept", MEDIA[kind])]
    headers.append((b"content-length", str(len(body)).encode()))
    scope = {"type": "http", "method": "POST", "path": "/v1/models/census/predict",
             "headers": headers, "query_string": b"", "raw_path": b"", "root_path": ""}  # fmt: skip
    await app(scope, receive, send)
    assert status[0] == 200, pieces
    return b"".join(pieces)


@contextlib.contextmanager
def listening(app):
    """Serve the application on loopback in a thread of its own; yields a connection to it."""
    link = socket.socket()
    link.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [link]})
    thread.start()
    connection = http.client.HTTPConnection(*link.getsockname(), timeout=60)
    try:
        while not server.started:
            time.sleep(0.01)
        yield connection
    finally:
        connection.close()
        server.should_exit = True
        thread.join()
        link.close()


def post(connection, kind, body):
    """Send a request over HTTP; returns the answer's body."""
    given = {"content-type": MEDIA[kind].decode(), "accept": MEDIA[kind].decode()}
    connection.request("POST", "/v1/models/census/predict", body, given)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return content


def run(rounds, rows):
    """Measure in alternating rounds; returns seconds by side, and whether all agree."""
    from raymm.features.columns import encode
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app
    from raymm.serving.sources import FixedModels

    version, plain = served()
    config = ServingConfig(max_rows=rows, max_body_kb=1 + rows // 2)
    app = create_app(FixedModels(version), config=config, tokens={})
    frame, _ = table(rows, seed=1)
    tensors = encode(frame, version.schema)
    given = bodies(frame)
    expected = version.runner.predict(tensors)[:, 1]
    loop = asyncio.new_event_loop()
    equal = {}
    for kind, body in given.items():
        answer = loop.run_until_complete(ask(app, kind, body))
        found = np.asarray(probabilities(kind, answer)).astype(np.float32)
        equal[kind] = np.array_equal(found, expected)
    sides = {"graph": plain, "compiled": version.runner}
    spent = {name: [] for name in (*sides, *given)}
    spent |= {f"http {name}": [] for name in ("graph", *given)}
    with listening(app) as connection:
        for _ in range(rounds):
            for name, runner in sides.items():
                begun, start = time.perf_counter(), time.process_time()
                runner.predict(tensors)
                spent[name].append(time.process_time() - start)
                if runner is plain:
                    spent["http graph"].append(time.perf_counter() - begun)
            for kind, body in given.items():
                start = time.process_time()
                loop.run_until_complete(ask(app, kind, body))
                spent[kind].append(time.process_time() - start)
                begun = time.perf_counter()
                answer = post(connection, kind, body)
                spent[f"http {kind}"].append(time.perf_counter() - begun)
                found = np.asarray(probabilities(kind, answer)).astype(np.float32)
                equal[kind] &= np.array_equal(found, expected)
    loop.close()
    return spent, equal, {kind: len(body) for kind, body in given.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=15)
    parser.add_argument("--rows", type=int, default=10_000)
    chosen = parser.parse_args()
    spent, equal, sizes = run(chosen.rounds, chosen.rows)
    middle = {name: statistics.median(seconds) for name, seconds in spent.items()}
    for name in ("graph", "compiled"):
        print(f"{name:11} {chosen.rows / middle[name]:10,.0f} rows/s")
    held = True
    for front, graph in (("", "graph"), ("http ", "http graph")):
        for kind, size in sizes.items():
            seconds = middle[front + kind]
            ratio = middle[graph] / seconds
            fine = equal[kind] and (kind == "json" or ratio >= BAR)
            held &= fine
            bar = "" if kind == "json" else f" (at least {BAR})"
            same = "equal" if equal[kind] else "NOT EQUAL"
            print(
                f"{front + kind:11} {chosen.rows / seconds:10,.0f} rows/s, {size / 1024:6,.0f} KB; "
                f"ratio {ratio:.2f}{bar}; predictions {same}{'' if fine else '  MISSED'}"
            )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
