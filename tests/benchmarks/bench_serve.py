"""What serving costs: raymm on Ray Serve, against a bare server and against scikit-learn.

In one run, in alternating rounds, the same LightGBM model answers

- bare: a minimal FastAPI application under uvicorn, the bundle run as raymm runs it;
- raymm: the bundle on Ray Serve, one replica, with all its checks, a token among them, and its
  monitor watching;
- sklearn: a FastAPI application that predicts with the unpickled scikit-learn pipeline.

One row over HTTP at 1, 16 and 64 clients. The client is a process of its own that keeps raw
sockets open. Ratios are medians over the rounds, of each round's two sides. Ends with 1 where one
of these is missed:

- raymm's median at one client is at most 1.5 times the bare server's, and a fifth of
  scikit-learn's;
- its requests a second at 16 and at 64 clients are at least 0.85 times the bare server's;
- the monitor costs at most 5 % of the requests a second and of the 99th percentile, at 16 clients:
  the median of eight times as many pairs as there are rounds, since a pair's two sides differ by
  5 % by chance, and their 99th percentiles by 30 %. Two models of a replica differ by 2 % for as
  long as it lives, and so do two replicas; so it is one model, whose watcher is switched off and
  on. With ``--blind`` it is switched between nothing and nothing, which tells what chance makes of
  this measure;
- with two replicas in its place raymm answers more requests a second than the bare server, which
  is one process, at 64 clients. Client, proxy, replicas, monitor and Serve's controller need a
  core each: with less than 6 that is not judged.

Ends with 3 where all that was judged is kept and something was not judged.

With ``--local`` raymm's application runs under uvicorn as the bare one does, without Ray, and an
observer watches in a process of its own: that tells what the application alone costs.

    python tests/benchmarks/bench_serve.py [ROUNDS] [--local] [--only-monitor] [--blind]
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
WATCHED, PAIRS = ("watched", "unwatched"), 8
MODEL = "bench"
SPENDERS = {"replica": "ray::ServeReplica", "monitor": "ray::MonitorActor"}
SETTLED = 1.5
"""Seconds after which all that was told before a switch has been sent and taken in."""
MEDIAN, RATE, MONITOR = 1.5, 0.85, 0.05
CORES, NOT_ALL = 6, 3
ROWS = 4000
TOKEN = "token-of-the-benchmark"
BEARER = f"Bearer {TOKEN}"
NUMBERS = [f"number_{i}" for i in range(6)]
WORDS = [f"word_{i}" for i in range(4)]


# ------------------------------------------------------------------------------------ the client


def measure(port, path, body, clients, seconds):
    """Keep ``clients`` requests in flight; returns the times of all answers in seconds."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {BEARER}\r\n"
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

    def tell_row(self, version, seconds, tensors, prediction, key):
        pass

    def learn(self, feedback):
        pass

    def report(self):
        return {}


class Switched:
    """A watcher that tells another one, or nobody: as the last true label says that it learns."""

    def __init__(self, watcher):
        self._watcher = watcher
        self.watch, self.report = watcher.watch, watcher.report
        self._use(watcher)

    def _use(self, told):
        self.tell, self.tell_row = told.tell, told.tell_row

    def learn(self, feedback):
        self._use(self._watcher if feedback.labels[-1] == "yes" else Quiet())


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

    def tell_row(self, version, seconds, tensors, prediction, key):
        self.waiting.tell_row(version, seconds, tensors, prediction, key)

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


def local_app(folder):
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
    watcher = Switched(Beside(folder))
    return create_app(
        FixedModels(served),
        config=ServingConfig(),
        tokens={"bench": TOKEN},
        watcher_for=lambda name: watcher,
    )


def serve_plain(which, port, folder):
    import uvicorn

    app = {"bare": bare_app, "sklearn": sklearn_app, "raymm": local_app}[which](folder)
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


def run(rounds, *, local, two, alone, blind):
    """Measure all in alternating rounds unless the monitor ``alone`` is asked for, then the monitor
    by itself, then the bare server and two replicas where ``two`` asks for it.

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
        for which in ("bare", "sklearn", *(("raymm",) if local else ())):
            port = _free_port()
            command = [sys.executable, __file__, which, str(port), str(folder)]
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await_port(port, process)
            servers[which] = (port, _path("predict") if which == "raymm" else "/predict")
        if not local:
            port, shelf = _free_port(), _start(stack, folder, two=two)
            _deploy(shelf, port, replicas=1)
            servers["raymm"] = (port, _path("predict"))
        found = [] if alone else _rounds(rounds, servers, CLIENTS, body_file)
        pairs = _pairs(PAIRS * rounds, servers["raymm"][0], body_file, blind=blind)
        if not two:
            return found, pairs, []
        _replace(shelf, port, replicas=2)
        sides = {"bare": servers["bare"], "two": servers["raymm"]}
        return found, pairs, _rounds(rounds, sides, CLIENTS[-1:], body_file)


def _path(action):
    return f"/v1/models/{MODEL}/{action}"


def _pairs(count, port, body_file, *, blind):
    """Return what each pair found of the model, watched and not: {side: {clients: figures}}.

    What one pair ends with, the next begins with, so that each is first as often.
    """
    found, told = [], None
    for number in range(count):
        found.append({})
        for name in WATCHED if number % 2 == 0 else WATCHED[::-1]:
            if told != name:
                _switch(port, name == WATCHED[0] and not blind)
                told = name
            before = _spent()
            figures = _client(port, _path("predict"), BUSY, body_file)
            spent = {who: 1e6 * (now - before.get(who, 0.0)) for who, now in _spent().items()}
            answers = figures["rate"] * SECONDS
            found[-1][name] = {BUSY: figures | {who: one / answers for who, one in spent.items()}}
    return found


def _spent():
    """Return the seconds of processor time that Ray's replicas and monitors have taken."""
    found = dict.fromkeys(SPENDERS, 0.0)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, rest = path.read_text().split("(", 1)
            name, rest = rest.rsplit(")", 1)
            for who, title in SPENDERS.items():
                if name.startswith("ray::") and title.startswith(name):
                    found[who] += sum(map(int, rest.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return found


def _switch(port, watched):
    """Let the model's watcher tell or not, and wait until what it was told before is taken in."""
    body = json.dumps({"labels": [{"id": "switch", "label": "yes" if watched else "no"}]})
    url = f"http://127.0.0.1:{port}{_path('feedback')}"
    request = urllib.request.Request(
        url, body.encode(), {"Content-Type": "application/json", "Authorization": BEARER}
    )
    urllib.request.urlopen(request, timeout=30).close()
    time.sleep(SETTLED)


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
    registry.register(MODEL, data, run="bench", blessed=True, summary={}, parts={})
    registry.promote(MODEL, 1)
    actor.start(MODEL, config=MonitoringConfig(), state_dir=str(folder))
    return RegistryShelf(storage=registry.uri)


def _deploy(shelf, port, *, replicas):
    from raymm.sections import ServingConfig
    from raymm.service import watcher
    from raymm.serving import deployment

    config = ServingConfig(port=port, replicas={"min": replicas, "max": replicas})
    app = deployment.application(
        (MODEL,),
        shelf,
        lambda name: Switched(watcher(name)),
        config=config,
        tokens={"bench": TOKEN},
    )
    deployment.deploy(app, name="bench", config=config)
    print("HAProxy:", deployment.uses_haproxy())


def _replace(shelf, port, *, replicas):
    """Deploy with other replicas in place of what is deployed, and wait for all of them."""
    from raymm.serving import deployment

    deployment.undeploy("bench")
    _deploy(shelf, port, replicas=replicas)
    deadline = time.monotonic() + 60
    while _answering(port) != replicas:
        if time.monotonic() > deadline:
            raise SystemExit(f"not within a minute: {replicas} replicas")
        time.sleep(0.1)
    time.sleep(3)  # HAProxy takes them in


def _answering(port):
    """Return how many replicas have told that they follow the release."""
    url = f"http://127.0.0.1:{port}{_path('release')}"
    request = urllib.request.Request(url, headers={"Authorization": BEARER})
    with (
        contextlib.suppress(OSError, ValueError),
        urllib.request.urlopen(request, timeout=30) as told,
    ):
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


def told_shares(pairs):
    """Yield what the monitor costs, and print its spread: (what, share), (what, share)."""
    for figure, what, sign in (("rate", "requests/s", -1), ("p99", "the p99", 1)):
        one, other = WATCHED
        shares = [sign * (p[one][BUSY][figure] / p[other][BUSY][figure] - 1) for p in pairs]
        error = statistics.stdev(shares) / len(shares) ** 0.5
        print(f"monitor's share of {what}, {len(shares)} pairs: median "
              f"{statistics.median(shares):.3f}, mean {statistics.mean(shares):.3f} with an error "
              f"of {error:.3f}")  # fmt: skip
        yield f"monitor's share of {what}", statistics.median(shares)
    for who in SPENDERS:
        spent = (statistics.mean(sides[name][BUSY][who] for sides in pairs) for name in WATCHED)
        print(
            "processor time of the {}, a request: {:.1f} µs watched, {:.1f} not".format(who, *spent)
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    parser.add_argument("--local", action="store_true", help="without Ray")
    parser.add_argument("--only-monitor", action="store_true", help="the monitor's cost alone")
    parser.add_argument("--blind", action="store_true", help="switch between nothing and nothing")
    chosen = parser.parse_args()
    cores, alone = len(os.sched_getaffinity(0)), chosen.only_monitor or chosen.blind
    two = cores >= CORES and not chosen.local and not alone
    found, pairs, doubled = run(
        chosen.rounds, local=chosen.local, two=two, alone=alone, blind=chosen.blind
    )
    show(found)
    show(pairs)
    show(doubled)
    checks = []
    if found:
        median = ratio(found, 1, "median", "raymm", "bare")
        sklearn = ratio(found, 1, "median", "sklearn", "raymm")
        checks.append(
            ("raymm / bare median, 1 client", median, f"at most {MEDIAN}", median <= MEDIAN)
        )
        checks.append(("sklearn / raymm median, 1 client", sklearn, "at least 5", sklearn >= 5))
        for clients in CLIENTS[1:]:
            rate = ratio(found, clients, "rate", "raymm", "bare")
            what = f"raymm / bare requests/s, {clients} clients"
            checks.append((what, rate, f"at least {RATE}", rate >= RATE))
    for what, share in told_shares(pairs):
        checks.append((what, share, f"at most {MONITOR}", share <= MONITOR))
    if two:
        ahead = ratio(doubled, CLIENTS[-1], "rate", "two", "bare")
        what = f"two replicas / bare requests/s, {CLIENTS[-1]} clients"
        checks.append((what, ahead, "more than 1", ahead > 1))
    for what, value, bound, held in checks:
        print(f"{what:45} {value:6.3f}  ({bound}){'' if held else '  NOT HELD'}")
    if not all(held for *_, held in checks):
        return 1
    if alone:
        print("not judged: all but the monitor")
    elif not two:
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
        case ["bare" | "sklearn" | "raymm" as which, port, folder]:
            serve_plain(which, int(port), folder)
        case _:
            sys.exit(main())
