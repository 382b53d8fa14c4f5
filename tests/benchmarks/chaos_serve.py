"""What happens to a service's answers while things are done to it, on a real Ray Serve.

Two replicas answer behind Serve's proxy, watched by their monitor. A client of its own process
sends requests at fixed moments (200 a second), whether or not earlier ones were answered.

- promotions: versions that no replica has had before are promoted, two at a time, and then rolled
  back. No request may fail, no answer may come from a version after it was declared gone (which is
  when ``raymm promote --wait`` returns), and each must be what that version's graph says.
- bad: versions that cannot be loaded, are damaged, answer nonsense or take too long are promoted,
  made canaries and shadows. The champion must answer every request, and each must be refused. Then
  one is promoted that needs 30 ms a row; one is made canary that needs 3 ms for its example and
  hangs at the row that clients send; and one whose answers are wrong, as labels say that are sent
  to ``/feedback``. Each must be taken out of the release, and only the last may answer before it
  is. A graph that hangs though its example takes less than 2 ms is not tried: such models answer
  where requests are read, which it would hold up.
- kills: a replica is killed with SIGKILL, again and again. Nothing may fail but what it held,
  nothing at all with one retry, and a new replica must have loaded within 15 s. What it held
  cannot be seen from outside, since who failed does not say to whom it was sent. A request may
  have been among it that was sent before the replica was dead, was not answered before the signal,
  and ended as a broken connection does (without an answer, or with 500, 502 or 504) within 4 s of
  its death: HAProxy tries three times again, a second apart. Whatever else fails is a miss.
- overload: ten times the requests that two replicas can take, each for ever at work on one, of
  models that need a tenth of a second a row (the client, on the same processors, can send as many)
  or three, with all settings as they are by default. Only 200, 429 and 503 may be answered, the
  99th percentile of the time of what is accepted may be three times that without load, half of what
  can be taken must be accepted, the 99th percentile of refusals may take no longer than answers do
  without load, and the replicas' memory may grow by 5 %; without load none may be refused. Both
  are taken in turns, three times: of half a minute without load the 99th percentile would be the
  slowest of sixty answers. Beside these models some that take no longer for many rows than for one.
  Their requests are joined, so that two replicas take as many one and all, which fills both
  processors: how long that takes is told and not judged. And what comes of a wait of a fifth of a
  row's time (``max_wait``).
- trial: as overload, of the models that need as long for each row, with a canary of the same bundle
  beside the champion, which a fifth of the requests fall to. Besides, both must have answered, and
  be what they were afterwards: neither ended nor refused. It is run where it is named (``--only
  trial``), as it misses the bound of times: each replica has a call of both at once, on a processor
  that is its share. Of 0.3 s a row the 99th percentile was 6 to 11 times that without load, and in
  turns with it, without a canary, 2.3 to 3.8 times, on two processors that had other work besides.

In the first three parts the requests a second, from the first one to the end of the part, must be
within 5 % of the 200 too; the fewest of any second are printed beside.

Each figure is printed beside its bound; exits with 1 where a bound is missed.

    python tests/benchmarks/chaos_serve.py [--only PART …] [--changes 50] [--bad 20] [--kills 50]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import bench_serve

RATE, STEADY = 200, 0.05
SLOW = {
    "0.1 s a row": (0.1, True, {}),
    "0.3 s a row": (0.3, True, {}),
    "0.3 s a call": (0.3, False, {}),
    "0.1 s a call": (0.1, False, {}),
    "0.1 s a row, max_wait 0.02": (0.1, True, {"max_wait": 0.02}),
}
"""Models under load: seconds, whether of each row or of a call, and settings."""
BROKEN, TRIES_SECONDS = (0, 500, 502, 504), 4.0
BACK_SECONDS = 15.0
TRIED = ("0.1 s a row", "0.3 s a row")
"""Those that are tried beside a champion like them."""
SHARE = 0.2
SLOWER = 3.0
ACCEPTED = 0.5
"""Of what the service can take at most, what it must answer under load: the client, HAProxy and the
refusals take a third of the processors here."""
GROWTH = 0.05
HANGS, LATE = 9.0, 3.0
"""Seconds that a row takes which hangs, and in which an answer must come."""
NAME = "chaos"


# ------------------------------------------------------------------------------------ the client


async def client(port, path, body, rate, out, links=64):
    """Send ``rate`` requests a second until the standard input ends; write a line for each.

    A line: sent, answered (seconds of the machine's monotonic clock), status (0 where the
    connection broke), version, the first class's probability (null where there is none); with the
    same of one retry where the first failed.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    idle, ended, loop = [], asyncio.Event(), asyncio.get_running_loop()

    def end():
        loop.remove_reader(sys.stdin)  # which stays readable, and would keep a processor busy
        ended.set()

    loop.add_reader(sys.stdin, end)

    async def one():
        sent = time.monotonic()
        link = None
        try:
            while idle and link is None:
                link = idle.pop()
                if link[0].at_eof():  # closed meanwhile, as those are that rest for long
                    link[1].close()
                    link = None
            link = link or await asyncio.open_connection("127.0.0.1", port)
            link[1].write(request)
            answer = await asyncio.wait_for(link[0].readuntil(b"\r\n\r\n"), 30)
            lines = answer.decode().lower().split("\r\n")
            found = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            told = await link[0].readexactly(int(found.get("content-length", 0)))
            if found.get("connection") != "close" and len(idle) < links:
                idle.append(link)
            else:
                link[1].close()
            status = int(lines[0].split()[1])
            done, version = time.monotonic(), int(found.get("x-raymm-version", 0))
            said = json.loads(told)["probabilities"][0] if status == 200 else {"": None}
            return sent, done, status, version, next(iter(said.values()))
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, IndexError):
            if link is not None:
                link[1].close()
            return sent, time.monotonic(), 0, 0, None

    async def told():
        first = await one()
        again = await one() if first[2] in BROKEN else None
        out.write(json.dumps([*first, *(again or ())]) + "\n")

    tasks, start = set(), time.monotonic()
    for number in itertools.count():
        wait = start + number / rate - time.monotonic()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), wait)
        if ended.is_set():
            break
        task = asyncio.create_task(told())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    out.flush()


@dataclasses.dataclass
class Answer:
    """What became of a request."""

    sent: float
    done: float
    status: int
    version: int
    said: float | None
    retried: int | None = None


class Answers(list):
    """What became of the requests in the order in which they were sent, and when sending ended."""

    until = float("nan")


@contextlib.contextmanager
def traffic(service, rate=RATE, body=None):
    """Send requests while the ``with`` lasts; yields the `Answers` that they come into."""
    answers = Answers()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body or service.body)
        out = Path(folder) / "answers"
        path = f"/v1/models/{NAME}/predict"
        command = [sys.executable, __file__, "--client", str(service.port), path, folder, str(rate)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            yield answers
        finally:
            answers.until = time.monotonic()
            process.stdin.close()
            process.wait(90)
        if process.returncode:
            raise SystemExit(f"the client ended with {process.returncode}")
        for line in out.read_text().splitlines():
            found = json.loads(line)
            answers.append(Answer(*found[:5], found[7] if len(found) > 5 else None))
    answers.sort(key=lambda one: one.sent)


def steady(answers):
    """Yield the lines that tell whether as many requests were sent as are asked for, all along."""
    start = answers[0].sent
    rate = sum(one.sent <= answers.until for one in answers) / (answers.until - start)
    seconds = np.arange(start, answers.until, 1.0)
    fewest = np.histogram([one.sent for one in answers], seconds)[0].min()
    yield "sent, requests/s", round(rate, 1), RATE, abs(rate / RATE - 1) <= STEADY
    yield "sent in the second with fewest", int(fewest), None, True


# ----------------------------------------------------------------------------------- the service


class Service:
    """A model on Serve, its registry, and how its replicas stand."""

    def __init__(self, folder, *, port=None, replicas=2, data=None, **settings):
        from raymm.monitoring import actor
        from raymm.monitoring.verdict import Trial
        from raymm.opinion import LabelOpinion
        from raymm.registry.versions import Registry
        from raymm.sections import MonitoringConfig, ServingConfig
        from raymm.service import watcher
        from raymm.serving import deployment
        from raymm.shelf import RegistryShelf

        self.folder = folder
        self.port = port or bench_serve._free_port()
        self.registry = Registry(str(folder / "registry"))
        self.releases = self.registry.releases(NAME)
        self.table = frame, y = bench_serve._table()
        self.data = bench_serve._bundle(frame, y)
        record = json.loads(frame.head(1).to_json(orient="records"))[0]
        self.body = json.dumps({"records": [record]}).encode()
        for number in (1, 2):
            self.add(data or self.data, run=f"good {number}")
        self.releases.promote(1)
        config = ServingConfig(
            port=self.port,
            poll=0.25,
            replicas={"min": replicas, "max": replicas},
            **settings,
        )
        watched = MonitoringConfig(trial={"labels": 30, "requests": 30})
        actor.start(NAME, config=watched, state_dir=str(folder))
        app = deployment.application(
            (NAME,),
            RegistryShelf(storage=self.registry.uri),
            watcher,
            config=config,
            tokens={},
            opinion=LabelOpinion(trials={NAME: Trial.of(watched)}),
        )
        deployment.deploy(app, name=NAME, config=config)
        self.haproxy = deployment.uses_haproxy()
        self.replicas = replicas
        self.wait(lambda told: len(told["replicas"]) == replicas and told["switched"] > 0)
        time.sleep(3)  # HAProxy takes over from Serve's own proxy

    def again(self, folder, *, data, **settings):
        """Return a service of a bundle in this one's place, with other settings."""
        from raymm.serving import deployment

        deployment.undeploy(NAME)
        return Service(folder, port=self.port, data=data, **settings)

    def add(self, data, *, run):
        return self.registry.register(
            NAME, data, run=run, blessed=True, summary={}, parts={}
        ).number

    def standing(self):
        url = f"http://127.0.0.1:{self.port}/v1/models/{NAME}/release"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())

    def wait(self, fits, seconds=90.0):
        """Ask how the replicas stand until it fits; returns the moment at which it did."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, ValueError):
                told = self.standing()
                if fits(told):
                    return time.monotonic()
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {seconds} s: {told}")
            time.sleep(0.02)

    def refusal(self, version):
        """Return why a version was refused, once it is told."""
        found = {}

        def told(standing):
            found.update(standing["refused"].get(str(version), {}))
            return found

        self.wait(told)
        return found["reason"]

    def pids(self):
        return [one["pid"] for one in self.standing()["replicas"].values()]


def memory(pids):
    """Return the resident bytes of processes."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def p99(answers):
    return float(np.quantile([one.done - one.sent for one in answers], 0.99))


# ------------------------------------------------------------------------------------- the parts


def promotions(service, count):
    """Promote and roll back; yields what was found, its bound and whether it held."""
    rollbacks = count // 3
    fresh = [bench_serve._bundle(*service.table, rounds=200 - n) for n in range(count - rollbacks)]
    says = {1: _says(service.data, service)}
    gone, seconds = [], []
    with traffic(service) as answers:
        time.sleep(2)
        for number in range(count):
            before = service.releases.current().champion
            if number % 3 != 2:
                data = fresh.pop(0)
                version = service.add(data, run=f"promoted {number}")
                says[version] = _says(data, service)
            start = time.monotonic()
            change = (
                service.releases.rollback(reason="chaos")
                if number % 3 == 2
                else service.releases.promote(version, reason="chaos")
            )
            champion = service.releases.current().champion
            for other, until in gone:
                if other == champion:
                    until[1] = min(until[1], start)  # from here on it may answer again
            moment = service.wait(lambda told, at=change.sequence: told["switched"] >= at)
            seconds.append(moment - start)
            gone.append((before, [moment, np.inf]))
            time.sleep(0.2)
        time.sleep(1)
    yield from steady(answers)
    yield from _answered(answers, gone, says, f"{count} changes")
    yield "switch, median s", round(float(np.median(seconds)), 2), None, True
    yield "switch, slowest s", round(max(seconds), 2), None, True


def _answered(answers, gone, says, what):
    """Yield what was answered beside what each version says, until when each was declared gone."""
    failed = [one for one in answers if one.status != 200]
    late = [
        one
        for version, (since, until) in gone
        for one in answers
        if one.version == version and since < one.done < until
    ]
    others = [
        one
        for one in answers
        if one.status == 200 and abs(one.said - says.get(one.version, np.inf)) > 1e-6
    ]
    yield f"{what} under {len(answers)} requests: failed", len(failed), 0, not failed
    yield "answers from a version after it was declared gone", len(late), 0, not late
    yield "answers that their version's graph does not give", len(others), 0, not others
    yield "p99 of a request, ms", round(1e3 * p99(answers), 1), None, True
    versions = {one.version for one in answers}
    different = len({round(one, 5) for one in says.values()})
    yield "versions that answered", len(versions), len(says), versions == set(says)
    yield "different answers of theirs", different, None, True


def hostile(service, count):
    """Yield bundles that must not take over: (what, bytes)."""
    from raymm.bundle.packed import Bundle

    good = Bundle.from_bytes(service.data)
    made = [
        ("no bundle", lambda n: b"no bundle %d" % n),
        ("empty", lambda n: b"" if n < 8 else b"\0" * n),
        ("cut", lambda n: service.data[: len(service.data) // 2 + n]),
        ("flipped", lambda n: _flipped(service.data, n)),
        ("not finite", lambda n: _graph(good, np.float32(np.nan), n)),
        ("no probabilities", lambda n: _graph(good, np.float32(3 + n), n)),
        ("slow", lambda n: _graph(good, np.float32(0.5), n, slow=True)),
    ]
    for number in range(count):
        what, make = made[number % len(made)]
        yield what, make(number)


def _flipped(data, seed):
    generator = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in generator.integers(0, len(data), 20):
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def _made(*given, **how):
    from raymm.bundle.packed import Bundle

    return Bundle.from_bytes(_graph(*given, **how))


def _graph(bundle, value, number, *, slow=False, size=1500, times=30, each=False, at=None, extra=0):
    """Return a bundle whose both probabilities are a value; a slow one multiplies matrices.

    It does so once for all rows of a call, or for ``each``; ``extra`` times more, by all of one
    matrix or by none of its rows, where the first column of some row is ``at``.
    """
    from onnx import TensorProto

    from raymm.onnx_builder import FLOAT, STRING, GraphBuilder

    builder = GraphBuilder()
    for column in bundle.schema.features:
        builder.input(column.name, FLOAT if column.kind == "number" else STRING)
    missing = builder.node("IsNaN", [bench_serve.NUMBERS[0]])
    never = builder.node("And", [missing, builder.node("Not", [missing])])
    zero = builder.node("Cast", [never], to=FLOAT)  # known when there is an input, not before
    if slow:
        mean = builder.constant(np.full((size, size), 1.0 / size))
        first = builder.node("ReduceMax", [zero], keepdims=0)
        if each:
            shape = builder.constant(np.array([-1, 1, 1]), np.int64)
            first = builder.node("Reshape", [zero, shape])
        product = builder.node("Add", [mean, first])
        for _ in range(times):
            product = builder.node("MatMul", [product, mean])
        if at is not None:
            there = builder.node("Equal", [bench_serve.NUMBERS[0], builder.constant(at)])
            some = builder.node("ReduceMax", [builder.node("Cast", [there], to=FLOAT)], keepdims=0)
            every = builder.node("Mul", [builder.constant(np.ones(size)), some])
            more = builder.node(
                "Compress", [product, builder.node("Cast", [every], to=TensorProto.BOOL)], axis=0
            )
            for _ in range(extra):
                more = builder.node("MatMul", [more, mean])
            product = builder.node("Add", [product, builder.node("ReduceSum", [more], keepdims=0)])
        axes = [builder.constant(np.array([1, 2]), np.int64)] if each else []
        most = builder.node("ReduceMax", [product, *axes], keepdims=0)
        if each:
            most = builder.node("Reshape", [most, builder.constant(np.array([-1, 1]), np.int64)])
        zero = builder.node("Add", [zero, builder.node("Mul", [most, builder.constant(0.0)])])
    both = builder.node("Concat", [zero, zero], axis=1)
    both = builder.node("Add", [both, builder.constant(value)])
    best = builder.node("ArgMax", [both], axis=1, keepdims=0)
    names = builder.constant(np.array(bundle.schema.classes, dtype=object), object)
    label = builder.node("Gather", [names, best], axis=0)
    model = builder.model(
        [(label, "prediction", STRING, ["n"]), (both, "probabilities", FLOAT, ["n", 2])]
    )
    model.doc_string = f"bad {number}"
    return dataclasses.replace(bundle, graph=model.SerializeToString()).to_bytes()


def bad(service, count):
    """Release versions that must not take over."""
    from raymm.registry.store import blob_path

    refused = []
    champion = service.releases.current().champion
    with traffic(service) as answers:
        time.sleep(1)
        for number, (what, data) in enumerate(hostile(service, count)):
            version = service.add(data, run=f"bad {number}")
            change = _released(service.releases, version, number)
            if what == "empty":  # the blob is damaged after it was released
                path = Path(service.registry.uri) / blob_path(
                    service.registry.version(NAME, version).bundle
                )
                path.chmod(0o600)
                path.write_bytes(b"damaged")
            service.wait(
                lambda told, v=str(version), at=change.sequence: (
                    v in told["refused"] and told["switched"] > at
                ),
                180,
            )
            reason = service.refusal(version)
            refused.append((what, reason))
            print(f"    {change.action:8} {what:17} {reason[:90]}")
        ended = {}
        for kind in (slower, hanging, worse):
            start = time.monotonic()
            version, change = kind(service)
            moment = service.wait(
                lambda told, v=str(version), at=change.sequence: (
                    v in told["refused"] and told["switched"] > at
                ),
                180,
            )
            ended[version] = moment if kind is worse else 0.0
            reason = service.refusal(version)
            refused.append((kind.__name__, reason))
            told = f"{moment - start:.1f} s: {reason}"
            print(f"    {change.action:8} {kind.__name__:17} {told[:120]}", flush=True)
        time.sleep(1)
    count += len(ended)
    wrong = [
        one
        for one in answers
        if one.status != 200
        or (one.version != champion and one.sent >= ended.get(one.version, 0.0))
    ]
    for one in wrong[:5]:
        when, took = one.sent - answers[0].sent, one.done - one.sent
        print(f"    answered {one.status} by {one.version} after {took:.3f} s, {when:.1f} s on")
    yield from steady(answers)
    yield (
        f"{count} bad versions under {len(answers)} requests: not by the champion",
        len(wrong),
        0,
        not wrong,
    )
    yield "bad versions refused", len(refused), count, len(refused) == count
    now = service.releases.current()
    yield (
        "released afterwards",
        (now.champion, now.canary, now.shadow),
        (champion, None, None),
        (
            now.champion,
            now.canary,
            now.shadow,
        )
        == (champion, None, None),
    )
    yield "p99 of a request, ms", round(1e3 * p99(answers), 1), None, True


def slower(service):
    """Promote a version of 30 ms a row."""
    good = service.data
    version = service.add(_slow(good, service, seconds=0.03, each=False), run="slower")
    return version, service.releases.promote(version, reason="chaos")


def hanging(service):
    """Make a canary of a version that takes 3 ms, and `HANGS` at the row that clients send."""
    from raymm.bundle.packed import Bundle

    good, at = Bundle.from_bytes(service.data), json.loads(service.body)["records"][0]
    how = {"slow": True, "size": 300, "times": 10, "at": np.float32(at[bench_serve.NUMBERS[0]])}
    extra = 500
    for _ in range(2):
        taken = _row_seconds(_made(good, 0.5, 0, **how, extra=extra), service, tries=1)
        extra = max(1, round(extra * HANGS / taken))
    data = _made(good, 0.5, 0, **how, extra=extra).to_bytes()
    version = service.add(data, run="hanging")
    return version, service.releases.canary(version, 0.5, reason="chaos")


def worse(service):
    """Make a canary of a version that learned the labels the wrong way round, and send labels."""
    frame, y = service.table
    wrong = bench_serve._bundle(frame, np.where(y == "yes", "no", "yes"))
    version = service.add(wrong, run="worse")
    change = service.releases.canary(version, 0.5, reason="chaos")
    service.wait(lambda told: told["switched"] >= change.sequence)
    time.sleep(2)  # labels count that come once the canary is watched
    link, labels = http.client.HTTPConnection("127.0.0.1", service.port), []
    records = json.loads(frame.head(600).to_json(orient="records"))
    for number, (record, label) in enumerate(zip(records, y, strict=False)):
        _post(link, "predict", {"id": f"labelled-{number}", "records": [record]})
        labels.append({"id": f"labelled-{number}", "label": str(label)})
    _post(link, "feedback", {"labels": labels})
    return version, change


def _post(link, what, document):
    link.request(
        "POST",
        f"/v1/models/{NAME}/{what}",
        json.dumps(document),
        {"content-type": "application/json"},
    )
    answer = link.getresponse()
    told = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{what} was answered {answer.status}: {told[:200]}")


def _released(releases, version, number):
    if number % 4 == 2:
        return releases.canary(version, 0.5, reason="chaos")
    if number % 4 == 3:
        return releases.shadow(version, reason="chaos")
    return releases.promote(version, reason="chaos")


def kills(service, count):
    """Kill a replica again and again."""
    moments, back = [], []
    with traffic(service) as answers:
        time.sleep(2)
        for number in range(count):
            pids = service.pids()
            victim = pids[number % len(pids)]
            start = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            moments.append((start, _dead(victim)))
            after = service.wait(
                lambda told, old=set(pids): (
                    len(told["replicas"]) == service.replicas
                    and told["switched"] > 0
                    and any(one["pid"] not in old for one in told["replicas"].values())
                )
            )
            back.append(after - start)
            time.sleep(1)
        time.sleep(2)
    failed = [one for one in answers if one.status != 200]
    other = [_told(one, moments) for one in failed if not _held(one, moments)]
    lost = [one for one in failed if one.retried != 200]
    yield from steady(answers)
    yield f"{count} kills under {len(answers)} requests: failed", len(failed), None, True
    yield "failed, and was not held by what was killed", other, [], not other
    taken = [1e3 * (dead - killed) for killed, dead in moments]
    yield "from the signal to its death, slowest ms", round(max(taken)), None, True
    yield "failed with one retry", len(lost), 0, not lost
    yield "new replica, median s", round(float(np.median(back)), 1), None, True
    yield "new replica, slowest s", round(max(back), 1), BACK_SECONDS, max(back) <= BACK_SECONDS
    yield "p99 of a request, ms", round(1e3 * p99(answers), 1), None, True


def _held(one, moments):
    """Return whether a replica may have held a request when it was killed; see the top.

    ``moments`` are pairs: of the signal, and of the replica's death as `_dead` tells it.
    """
    return one.status in BROKEN and any(
        one.sent <= dead and killed <= one.done <= dead + TRIES_SECONDS for killed, dead in moments
    )


def _told(one, moments):
    """Return when a request was sent, from the last death before it, what it took, its status."""
    dead = max((dead for _, dead in moments if dead < one.sent), default=None)
    when = "before any" if dead is None else f"{1e3 * (one.sent - dead):.0f} ms after"
    return when, f"{one.done - one.sent:.3f} s", one.status


def _dead(pid):
    """Return the moment at which a process is dead, a few ms late at most.

    Its sockets take requests until its last thread has ended, which may be after its first one.
    """
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            threads = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            return time.monotonic()
        if state in "ZX" and threads <= 1:
            return time.monotonic()
        time.sleep(0.001)


def overload(service):
    """Send ten times what each of some slow models can take, and in turns with it hardly any."""
    folder, good = service.folder, service.data
    for number, (what, (seconds, each, settings)) in enumerate(SLOW.items()):
        data = _slow(good, service, seconds=seconds, each=each)
        service = service.again(folder / str(number), data=data, **settings)
        for name, value, bound, held in _overloaded(service, joined=not each):
            yield f"{what}: {name}", value, bound, held


def trial(service):
    """Overload slow models while a fifth of the requests fall to a canary that is the same."""
    folder, good = service.folder, service.data
    for number, what in enumerate(TRIED):
        seconds, each, settings = SLOW[what]
        data = _slow(good, service, seconds=seconds, each=each)
        service = service.again(folder / f"trial {number}", data=data, **settings)
        change = service.releases.canary(2, SHARE, reason="chaos")
        service.wait(lambda told, at=change.sequence: told["switched"] >= at)
        answers = []
        for name, value, bound, held in _overloaded(service, joined=not each, keep=answers):
            yield f"{what}, a canary: {name}", value, bound, held
        by = {n: [one for one in answers if (one.status, one.version) == (200, n)] for n in (1, 2)}
        counts = {n: len(some) for n, some in by.items()}
        yield f"{what}, a canary: accepted by version", counts, None, all(counts.values())
        times = {n: round(1e3 * p99(some), 1) for n, some in by.items() if some}
        yield f"{what}, a canary: p99 by version, ms", times, None, True
        now, refused = service.releases.current(), service.standing()["refused"]
        released = now.champion, now.canary, sorted(refused)
        yield f"{what}, a canary: afterwards", released, (1, 2, []), released == (1, 2, [])


def _overloaded(service, *, joined, rounds=3, seconds=20.0, keep=None):
    """Yield what becomes of ten times the requests that begin at once, and its bounds.

    The answers are put into ``keep``, too.
    """
    calm = _calm(service)
    capacity = service.replicas / float(np.median([one.done - one.sent for one in calm]))
    before = memory(service.pids())
    answers, growth = [], 0.0
    for number in range(rounds):
        if number:
            calm += _calm(service)
        with traffic(service, rate=10 * capacity) as more:
            time.sleep(seconds)
        sent = len(more) / (more[-1].sent - more[0].sent)
        answers += more
        growth = max(growth, memory(service.pids()) / before - 1)
        what = f"round {number + 1}: sent, requests/s"
        yield what, round(sent, 1), round(10 * capacity, 1), sent >= 8 * capacity
    if keep is not None:
        keep += answers
    statuses, rate, ratio = _taken(answers, rounds * seconds, p99(calm))
    allowed = {200} if joined else {200, 429, 503}
    yield "answers by status", statuses, allowed, set(statuses) <= allowed
    refused = sum(one.status != 200 for one in calm)
    yield "refused without load", refused, 0, not refused
    yield "accepted requests/s", rate, round(ACCEPTED * capacity, 1), rate >= ACCEPTED * capacity
    refused = [one for one in answers if one.status != 200]
    if refused:
        told, most = 1e3 * p99(refused), 1e3 * p99(calm)
        yield "p99 of refusals, ms", round(told, 1), round(most, 1), told <= most
    yield f"p99 unloaded, ms, of {len(calm)}", round(1e3 * p99(calm), 1), None, True
    bound = None if joined else SLOWER
    yield "p99 of what is accepted / unloaded", ratio, bound, joined or ratio <= SLOWER
    yield "growth of the replicas' memory", round(growth, 3), GROWTH, growth <= GROWTH


def _calm(service, seconds=40.0):
    """Return the answers to two requests a second, which are hardly any."""
    with traffic(service, rate=2) as answers:
        time.sleep(seconds)
    return answers


def _taken(answers, seconds, unloaded):
    """Return the answers by status, those accepted a second, and their p99 by that unloaded."""
    accepted = [one for one in answers if one.status == 200]
    statuses = {n: sum(one.status == n for one in answers) for n in {a.status for a in answers}}
    return statuses, round(len(accepted) / seconds, 1), round(p99(accepted) / unloaded, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = {"promotions": promotions, "bad": bad, "kills": kills, "overload": overload}
    parts = {**usual, "trial": trial}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(usual))
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--bad", type=int, default=20)
    parser.add_argument("--kills", type=int, default=50)
    chosen = parser.parse_args()
    from raymm.cluster import connect
    from raymm.sections import RayConfig

    counts = {"promotions": chosen.changes, "bad": chosen.bad, "kills": chosen.kills}
    held = True
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(RayConfig(address="local"), cpus=3, serving=True),
    ):
        service = Service(Path(folder), max_queued=200, answer_time=LATE)
        print("HAProxy:", service.haproxy)
        for name in sorted(chosen.only, key=list(parts).index):  # after overload there is another
            print(f"== {name}", flush=True)
            found = parts[name](service, counts[name]) if name in counts else parts[name](service)
            for what, value, bound, good in found:
                beside = "" if bound is None else f"  (bound {bound})"
                print(f"{what:62} {value}{beside}{'' if good else '  MISSED'}", flush=True)
                held &= good
    return 0 if held else 1


def _slow(data, service, *, seconds, each):
    """Return a bundle that needs so long for a row, or whatever rows a call has."""
    from raymm.bundle.packed import Bundle

    good, times = Bundle.from_bytes(data), 40
    for _ in range(2):
        slow = _graph(good, np.float32(0.5), 0, slow=True, size=300, times=times, each=each)
        times = max(1, round(times * seconds / _row_seconds(Bundle.from_bytes(slow), service)))
    return _graph(good, np.float32(0.5), 0, slow=True, size=300, times=times, each=each)


def _row_seconds(bundle, service, tries=7):
    """Return the median time of one row, in this process."""
    runner, tensors, taken = *_running(bundle, service), []
    for _ in range(tries):
        start = time.perf_counter()
        runner.predict(tensors)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def _says(data, service):
    """Return the first class's probability of the row that the client sends."""
    from raymm.bundle.packed import Bundle

    runner, tensors = _running(Bundle.from_bytes(data), service)
    return float(runner.predict(tensors)[0, 0])


def _running(bundle, service):
    """Return what runs a bundle in this process, and the columns of the row that is sent."""
    from raymm.bundle.run import Runner

    record = json.loads(service.body)["records"][0]
    tensors = {
        one.name: np.array([record[one.name]], np.float32 if one.kind == "number" else object)
        for one in bundle.schema.features
    }
    return Runner(bundle), tensors


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        port, path, folder, rate = sys.argv[2:]
        with (Path(folder) / "answers").open("w") as out:
            body = (Path(folder) / "body").read_bytes()
            asyncio.run(client(int(port), path, body, float(rate), out))
    else:
        sys.exit(main())
