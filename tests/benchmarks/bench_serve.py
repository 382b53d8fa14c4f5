"""What serving costs: raymm on Ray Serve, against a bare server and against scikit-learn.

In one run, in alternating rounds, the same LightGBM model answers

- bare: a minimal FastAPI application under uvicorn, the bundle run as raymm runs it;
- raymm: the bundle on Ray Serve, one replica, with all its checks, and its monitor watching;
- unwatched: the same replica and bundle under another name, whose batches nobody watches;
- sklearn: a FastAPI application that predicts with the unpickled scikit-learn pipeline.

One row over HTTP at 1, 16 and 64 clients. The client is a process of its own that keeps raw
sockets open. Ratios are medians over the rounds, of each round's two sides. Ends with 1 where one
of these is missed:

- raymm's median at one client is at most 1.5 times the bare server's, and a fifth of
  scikit-learn's;
- its requests a second at 16 and at 64 clients are at least 0.85 times the bare server's;
- the monitor costs at most 5 % of the requests a second and of the 99th percentile, at 16 clients:
  the median of four times as many pairs as there are rounds, since rounds differ by 5 % by chance.
  Two models of a replica differ by 2 % for as long as it lives, so after half of the pairs another
  replica watches the other one;
- with two replicas in its place raymm answers more requests a second than the bare server, which
  is one process, at 64 clients. Client, proxy, replicas, monitor and Serve's controller need a
  core each: with less than 6 that is not judged.

Ends with 3 where all that was judged is kept and something was not judged.

With ``--local`` raymm's application runs under uvicorn as the bare one does, without Ray, and an
observer watches in a process of its own: that tells what the application alone costs.

    python tests/benchmarks/bench_serve.py [ROUNDS] [--local]
"""

import argparse
import contextlib
import json
import os
import pickle
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

SECONDS = 2.0
CLIENTS = (1, 16, 64)
BUSY = 16
WATCHED, PAIRS = ("raymm", "unwatched"), 4
MODELS = ("bench", "beside")
"""Both serve the same bundle; one of them is watched."""
MEDIAN, RATE, MONITOR = 1.5, 0.85, 0.05
CORES, NOT_ALL = 6, 3
ROWS = 4000
NUMBERS = [f"number_{i}" for i in range(6)]
WORDS = [f"word_{i}" for i in range(4)]


# ------------------------------------------------------------------------------------ the client


def measure(port, path, body, clients, seconds):
    """Keep ``clients`` requests in flight; returns the times of all answers in seconds."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    poll, sockets, started = select.epoll(), {}, {}
    for _ in range(clients):
        link = socket.create_connection(("127.0.0.1", port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(link, select.EPOLLIN)
        sockets[link.fileno()] = link
    times, end = [], time.perf_counter() + seconds
    parts = dict.fromkeys(sockets, b"")
    for key, link in sockets.items():
        started[key] = time.perf_counter()
        link.sendall(request)
    while time.perf_counter() < end:
        for key, _ in poll.poll(1):
            part = sockets[key].recv(65536)
            if not part:
                raise SystemExit("the server closed the connection")
            parts[key] += part
            if not _complete(parts[key]):
                continue
            now = time.perf_counter()
            times.append(now - started[key])
            parts[key], started[key] = b"", now
            sockets[key].sendall(request)
    return times


def _complete(answer):
    head, found, rest = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not a prediction: {answer[:300]!r}")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return len(rest) >= length


# ----------------------------------------------------------------------------------- the servers


def bare_app(folder):
    """A minimal application around the bundle's runner."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    from raymm.bundle.packed import Bundle
    from raymm.bundle.run import Runner

    bundle = Bundle.from_bytes((Path(folder) / "1.bundle").read_bytes())
    runner = Runner(bundle, compiled=True)
    kinds = {c.name: np.float32 if c.kind == "number" else object for c in runner.schema.features}
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request):
        records = (await request.json())["records"]
        columns = {
            name: np.array([record[name] for record in records], dtype=kind)
            for name, kind in kinds.items()
        }
        predictions = runner.predict(columns)
        labels = runner.labels(predictions)
        return JSONResponse({"predictions": labels, "probabilities": predictions.tolist()})

    return app


def sklearn_app(folder):
    """An application as it is commonly written around a pickled pipeline."""
    import pandas as pd
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    pipeline = pickle.loads((Path(folder) / "pipeline.pickle").read_bytes())
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request):
        frame = pd.DataFrame((await request.json())["records"])
        probabilities = pipeline.predict_proba(frame)
        labels = pipeline.classes_[probabilities.argmax(axis=1)]
        return JSONResponse(
            {"predictions": labels.tolist(), "probabilities": probabilities.tolist()}
        )

    return app


class Quiet:
    """A watcher that does nothing."""

    def watch(self, version, statistics, *, target=None, champion=True):
        pass

    def tell(self, batch):
        pass

    def tell_row(self, version, seconds, tensors, prediction, key, body):
        pass

    def learn(self, feedback):
        pass

    def report(self):
        return {}


class Beside:
    """A watcher whose thread sends merged batches to an observer's process, twice a second."""

    def __init__(self, folder):
        from raymm.monitoring.buffer import Buffer

        command = [sys.executable, __file__, "observer", str(folder)]
        self.pipe = subprocess.Popen(command, stdin=subprocess.PIPE).stdin
        self.said, self.waiting = [], Buffer()
        threading.Thread(target=self._send, daemon=True).start()

    def watch(self, version, statistics, *, target=None, champion=True):
        from raymm.artifacts import as_record

        about = None if target is None else as_record(target)
        self.said.append((version, as_record(statistics), about, champion))

    def tell(self, batch):
        self.waiting.tell(batch)

    def tell_row(self, version, seconds, tensors, prediction, key, body):
        self.waiting.tell_row(version, seconds, tensors, prediction, key, body)

    def _send(self):
        from raymm.monitoring.merging import merge, packed

        while True:
            time.sleep(0.5)
            taken, _ = self.waiting.take()
            said, self.said = self.said, []
            pickle.dump((said, [packed(one) for one in merge(taken)]), self.pipe)
            self.pipe.flush()

    def report(self):
        return {}


def observe(folder):
    """Be the process that `Beside` tells, until it ends."""
    from raymm.monitoring.merging import unpacked
    from raymm.monitoring.observer import Observer, give_way
    from raymm.sections import MonitoringConfig

    give_way()
    path = Path(folder) / "monitor.json"
    observer = Observer("bench", config=MonitoringConfig(), path=path, clock=time.time)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            said, batches = pickle.load(sys.stdin.buffer)
            for version, made, about, champion in said:
                observer.watch(version, made, champion=champion, target=about)
            if batches:
                observer.tell([unpacked(one) for one in batches])


def local_app(folder, watched):
    """raymm's application as it is, without Ray."""
    from raymm.bundle.packed import Bundle
    from raymm.bundle.run import Runner
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app
    from raymm.serving.rehearsal import warmed
    from raymm.serving.sources import FixedModels

    bundle = Bundle.from_bytes((Path(folder) / "1.bundle").read_bytes())
    runner = Runner(bundle, compiled=True)
    served = warmed("bench", 1, "0" * 64, runner, statistics=bundle.statistics)
    watcher = Beside(folder) if watched else None
    return create_app(
        FixedModels(served), config=ServingConfig(), tokens={},
        watcher_for=(lambda name: watcher) if watched else None,
    )  # fmt: skip


def serve_plain(which, port, folder):
    import uvicorn

    makers = {
        "bare": bare_app,
        "sklearn": sklearn_app,
        "raymm": lambda folder: local_app(folder, watched=True),
        "unwatched": lambda folder: local_app(folder, watched=False),
    }
    app = makers[which](folder)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


# ------------------------------------------------------------------------------------- the model


def _table():
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(ROWS, len(NUMBERS))).astype(np.float32), columns=NUMBERS)
    for name in WORDS:
        frame[name] = rng.choice(["red", "green", "blue", "grey"], ROWS)
    signal = frame[NUMBERS[0]] * frame[NUMBERS[1]] + (frame[WORDS[0]] == "red")
    y = np.where(signal + rng.normal(size=ROWS) > 0, "yes", "no")
    return frame, y


def make_models(folder):
    """Write the bundle and the pickled pipeline of the same LightGBM; returns one record."""
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    frame, y = _table()
    (folder / "1.bundle").write_bytes(_bundle(frame, y))
    encode = ColumnTransformer(
        [("words", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), WORDS)],
        remainder="passthrough",
    ).set_output(transform="pandas")
    trees = LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=1, verbose=-1)
    pipeline = make_pipeline(encode, trees).fit(frame, y)
    (folder / "pipeline.pickle").write_bytes(pickle.dumps(pipeline))
    return json.loads(frame.head(1).to_json(orient="records"))[0]


def _bundle(frame, y, *, schema=None, rounds=200):
    from raymm.artifacts import Column, Dataset, Lineage, Recipe, Schema, Trial
    from raymm.bundle.build import build
    from raymm.data.statistics import reference
    from raymm.features.columns import encode

    columns = [
        *(Column(name=name, kind="number", example=0.0) for name in NUMBERS),
        *(Column(name=name, kind="category", categories=("red", "green", "blue", "grey"))
          for name in WORDS),
        Column(name="y", kind="category", role="target"),
    ]  # fmt: skip
    schema = schema or Schema(
        columns=tuple(columns), target="y", task="binary", classes=("no", "yes")
    )
    rows = np.arange(ROWS)
    dataset = Dataset(
        tensors=encode(frame, schema), y=(y == schema.classes[1]).astype(np.int64), frame=frame,
        schema=schema, train=rows, test=rows[:0], folds=(), sha256="0" * 64, source="made",
    )  # fmt: skip
    config = {"family": "lightgbm", "learning_rate": 0.1, "num_leaves": 31}
    trial = Trial(id="0", number=0, config=config, status="finished", value=0.0, rounds=rounds)
    lineage = Lineage(
        run="bench", data_sha256="0" * 64, source="made", seed=0, ledger="0" * 64,
        configuration={}, trial={}, packages={},
    )  # fmt: skip
    bundle, _ = build(
        dataset, Recipe.of(trial), rows=rows, statistics=reference(dataset),
        lineage=lineage, threads=1, check_rows=rows[:200],
    )  # fmt: skip
    return bundle.to_bytes()


# --------------------------------------------------------------------------------------- the run


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _client(port, path, clients, body_file):
    command = [sys.executable, __file__, "client", str(port), path, str(clients), str(body_file)]
    return json.loads(subprocess.check_output(command))


def _await_port(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("a server did not start")


def run(rounds, *, local, two):
    """Measure all in alternating rounds, then the monitor's two sides by themselves, then the bare
    server and two replicas where ``two`` asks for it.

    Returns
    -------
    Rounds of all, of the monitor's sides and of two replicas, of {server: {clients: figures}}; no
    rounds of what is not measured.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        body_file = folder / "body.json"
        body_file.write_text(json.dumps({"records": [make_models(folder)]}))
        servers = {}
        for which in ("bare", "sklearn", *(("raymm", "unwatched") if local else ())):
            port = _free_port()
            command = [sys.executable, __file__, which, str(port), str(folder)]
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await_port(port, process)
            ours = which in ("raymm", "unwatched")
            servers[which] = (port, "/v1/models/bench/predict" if ours else "/predict")
        if not local:
            port, shelf = _free_port(), _start(stack, folder, two=two)
            _deploy(shelf, port, replicas=1)
            servers |= _sides(port, MODELS)
        found = _rounds(rounds, servers, CLIENTS, body_file)
        sides = {name: servers[name] for name in WATCHED}
        pairs = _rounds(PAIRS * rounds // 2, sides, (BUSY,), body_file)
        if not local:
            _replace(shelf, port, replicas=1, watched=MODELS[1])
            sides = _sides(port, MODELS[::-1])
        pairs += _rounds(PAIRS * rounds // 2, sides, (BUSY,), body_file)
        if not two:
            return found, pairs, []
        _replace(shelf, port, replicas=2)
        sides = {"bare": servers["bare"], "two": servers["raymm"]}
        return found, pairs, _rounds(rounds, sides, CLIENTS[-1:], body_file)


def _sides(port, models):
    """Return where the watched one of the models is asked, and the other."""
    paths = [f"/v1/models/{name}/predict" for name in models]
    return {name: (port, path) for name, path in zip(WATCHED, paths, strict=True)}


def _rounds(rounds, servers, counts, body_file):
    """Return what each round found, in which servers take turns: {server: {clients: figures}}."""
    found = []
    for number in range(rounds):
        found.append({name: {} for name in servers})
        for clients in counts:
            sides = list(servers)
            for name in sides if number % 2 == 0 else reversed(sides):
                found[-1][name][clients] = _client(*servers[name], clients, body_file)
    return found


def _start(stack, folder, *, two):
    """Start Ray, the registry and the monitor; returns the shelf that replicas read from."""
    from raymm.cluster import connect
    from raymm.monitoring import actor
    from raymm.registry.versions import Registry
    from raymm.sections import MonitoringConfig, RayConfig
    from raymm.shelf import RegistryShelf

    cpus = {"cpus": 3, "serving": True} if two else {"cpus": 2}
    stack.enter_context(connect(RayConfig(address="local"), **cpus))
    registry = Registry(str(Path(folder) / "registry"))
    data = (Path(folder) / "1.bundle").read_bytes()
    for name in MODELS:
        registry.register(name, data, run="bench", blessed=True, summary={}, parts={})
        registry.promote(name, 1)
        actor.start(name, config=MonitoringConfig(), state_dir=str(folder))
    return RegistryShelf(storage=registry.uri)


def _deploy(shelf, port, *, replicas, watched=MODELS[0]):
    from raymm.sections import ServingConfig
    from raymm.service import watcher
    from raymm.serving import deployment

    config = ServingConfig(port=port, replicas={"min": replicas, "max": replicas})
    app = deployment.application(
        MODELS,
        shelf,
        lambda name: watcher(name) if name == watched else Quiet(),
        config=config,
        tokens={},
    )
    deployment.deploy(app, name="bench", config=config)
    print("HAProxy:", deployment.uses_haproxy())


def _replace(shelf, port, *, replicas, watched=MODELS[0]):
    """Deploy with other replicas in place of what is deployed, and wait for all of them."""
    from raymm.serving import deployment

    deployment.undeploy("bench")
    _deploy(shelf, port, replicas=replicas, watched=watched)
    deadline = time.monotonic() + 60
    while _answering(port) != replicas:
        if time.monotonic() > deadline:
            raise SystemExit(f"not within a minute: {replicas} replicas")
        time.sleep(0.1)
    time.sleep(3)  # HAProxy takes them in


def _answering(port):
    """Return how many replicas have told that they follow the release."""
    url = f"http://127.0.0.1:{port}/v1/models/bench/release"
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=30) as told:
        return len(json.load(told)["replicas"])
    return 0


def ratio(found, clients, figure, one, other):
    """Return the median over the rounds of one server's figure by another's."""
    return statistics.median(
        sides[one][clients][figure] / sides[other][clients][figure] for sides in found
    )


def show(found):
    """Print the medians over the rounds of each server's figures."""
    for name in found[0] if found else ():
        for clients in found[0][name]:
            median, p99, rate = (
                statistics.median(sides[name][clients][figure] for sides in found)
                for figure in ("median", "p99", "rate")
            )
            print(f"{name:10} {clients:3} clients   median {median * 1e3:7.3f} ms   "
                  f"p99 {p99 * 1e3:7.3f} ms   {rate:8.0f} requests/s")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    parser.add_argument("--local", action="store_true", help="without Ray")
    chosen = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    two = cores >= CORES and not chosen.local
    found, pairs, doubled = run(chosen.rounds, local=chosen.local, two=two)
    show(found)
    show(doubled)
    median = ratio(found, 1, "median", "raymm", "bare")
    sklearn = ratio(found, 1, "median", "sklearn", "raymm")
    rates = {clients: ratio(found, clients, "rate", "raymm", "bare") for clients in CLIENTS[1:]}
    slower = 1 - ratio(pairs, BUSY, "rate", *WATCHED)
    later = ratio(pairs, BUSY, "p99", *WATCHED) - 1
    checks = [
        ("raymm / bare median, 1 client", median, f"at most {MEDIAN}", median <= MEDIAN),
        ("sklearn / raymm median, 1 client", sklearn, "at least 5", sklearn >= 5),
        *(
            (f"raymm / bare requests/s, {clients} clients", rate, f"at least {RATE}", rate >= RATE)
            for clients, rate in rates.items()
        ),
        ("monitor's share of requests/s", slower, f"at most {MONITOR}", slower <= MONITOR),
        ("monitor's share of the p99", later, f"at most {MONITOR}", later <= MONITOR),
    ]
    if two:
        ahead = ratio(doubled, CLIENTS[-1], "rate", "two", "bare")
        what = f"two replicas / bare requests/s, {CLIENTS[-1]} clients"
        checks.append((what, ahead, "more than 1", ahead > 1))
    for what, value, bound, held in checks:
        print(f"{what:45} {value:6.3f}  ({bound}){'' if held else '  NOT HELD'}")
    if not all(held for *_, held in checks):
        return 1
    if not two:
        why = "--local" if chosen.local else f"{cores} cores, and {CORES} are needed"
        print(f"not judged: two replicas ({why})")
    return 0 if two else NOT_ALL


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["client", port, path, clients, body_file]:
            times = measure(int(port), path, Path(body_file).read_bytes(), int(clients), SECONDS)
            kept = times[len(times) // 10 :]  # the first tenth warms up
            figures = {"median": statistics.median(kept), "p99": float(np.quantile(kept, 0.99))}
            print(json.dumps(figures | {"rate": len(times) / SECONDS}))
        case ["observer", folder]:
            observe(folder)
        case ["bare" | "sklearn" | "raymm" | "unwatched" as which, port, folder]:
            serve_plain(which, int(port), folder)
        case _:
            sys.exit(main())
