"""Ten thousand wrong requests of thirty kinds against a service, and good ones beside them.

A LightGBM model answers on Ray Serve with two replicas, over HTTP and gRPC, on loopback. Processes
of their own send good requests at a steady rate and the wrong ones (see `malformed`): deep nesting,
numbers of a million digits, NaN, wrong types, equal keys, compressed bombs, cut bodies, wrong
lengths, chunks of nonsense, slow senders, bodies of 300 MB, bad UTF-8, half surrogates, long
heads, wrong methods and paths, nonsense in CSV, Arrow and gRPC. Then schemathesis makes requests
of ``/openapi.json``, right and wrong.

Printed is what came back by kind. Ends with 1 unless

- each wrong request is answered with 4xx, or its connection is closed (what was changed by chance
  may be right, and is then answered with 200);
- the same processes answer afterwards, with at most 5 % more memory;
- every good request is answered with 200, and the 99th percentile of their times is at most twice
  that without wrong ones, measured in turns;
- schemathesis finds no 5xx, and nothing that is not as described.

    python tests/benchmarks/bench_malformed.py [--requests 10000] [--seed 0] [--rate 60]
"""

import argparse
import asyncio
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bench_serve
import chaos_serve
import malformed

GROWTH = 0.05
SLOWER = 2.0
GOOD_RATE = 50
PARTS = 5
WARM = 300
"""Wrong requests before anything is measured."""
FINE_CODES = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE",
}  # fmt: skip


def fine(perhaps, outcome):
    """Return whether a wrong request was answered as it should be."""
    if outcome == "closed" or outcome in FINE_CODES:
        return True
    return isinstance(outcome, int) and (400 <= outcome < 500 or (perhaps and outcome == 200))


def attacked(service, record, count, *, seed, rate):
    """Send wrong requests from a process of its own."""
    with tempfile.NamedTemporaryFile("w+", suffix=".json") as file:
        told = [service.port, service.grpc_port, record, count, seed, rate]
        command = [sys.executable, __file__, "--attack", json.dumps(told), file.name]
        subprocess.run(command, check=True)
        return json.load(file)


def table(found):
    """Print what came back by kind; returns how many were not answered as they should be."""
    kinds = collections.defaultdict(collections.Counter)
    for kind, perhaps, outcome in found:
        good = fine(perhaps, outcome)
        kinds[kind][str(outcome) if good else f"{outcome} WRONG"] += 1
    for kind in sorted(kinds):
        outcomes = ", ".join(f"{count} x {what}" for what, count in sorted(kinds[kind].items()))
        print(f"    {kind:18} {sum(kinds[kind].values()):6}  {outcomes}")
    return sum(not fine(perhaps, outcome) for _, perhaps, outcome in found)


def warmed(service, record):
    """Ask for everything on every replica, the largest bodies too.

    What is loaded late is loaded then, and the heap has the size that right requests need.
    """
    kinds = malformed.Kinds(record, 0)
    root = f"http://127.0.0.1:{service.port}/v1/models/{chaos_serve.NAME}"
    head, line = kinds.text.split(b"\n")[:2]
    rows = 2**20 // (len(line) + 1) - 10
    many = json.dumps({"records": [record] * (2**20 // len(kinds.valid) - 10)}).encode()
    stream = "application/vnd.apache.arrow.stream"
    asked = [
        ("predict", "application/json", kinds.valid),
        ("predict", "text/csv", kinds.text),
        *(("predict", stream, body) for body in kinds.streams),
        ("explain", "application/json", kinds.valid),
        ("feedback", "application/json", b'{"labels": [{"id": "a", "label": "yes"}]}'),
        ("predict", "application/json", many),
        ("predict", "text/csv", head + (b"\n" + line) * min(rows, 10_000)),
        ("predict", stream, malformed.many(record, 5000)),
    ]

    def ask(one):
        path, media, body = one
        request = urllib.request.Request(f"{root}/{path}", body, {"content-type": media})
        urllib.request.urlopen(request, timeout=60).read()

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, asked * 20))


def described(service, examples, seed):
    """Let schemathesis make requests of the OpenAPI document; returns whether all is well."""
    url = f"http://127.0.0.1:{service.port}/openapi.json"
    checks = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
              "response_schema_conformance", "response_headers_conformance"]  # fmt: skip
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", url,
        "--checks", ",".join(checks), "--seed", str(seed), "--max-examples", str(examples),
        "--phases", "examples,coverage,fuzzing", "--workers", "1", "--no-color",
        "--suppress-health-check", "all", "--generation-database", "none",
        "--request-timeout", "60",
    ]  # fmt: skip
    here = str(Path(__file__).parent)
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": here}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode == 0


def run(chosen):
    """Do everything; yields what was found, its bound and whether it held."""
    from raymm.cluster import connect
    from raymm.sections import RayConfig, ServingConfig
    from raymm.serving.scaling import message_bytes

    # as raymm.service does, before Ray starts
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(message_bytes(ServingConfig())))
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(RayConfig(address="local"), cpus=3, serving=True),
    ):
        grpc_port = bench_serve._free_port() if chosen.grpc else None
        settings = {"grpc_port": grpc_port, "insecure": True} if chosen.grpc else {}
        service = chaos_serve.Service(Path(folder), **settings)
        service.grpc_port = grpc_port
        print("HAProxy:", service.haproxy, " load:", *os.getloadavg())
        record = json.loads(service.body)["records"][0]
        warmed(service, record)
        attacked(service, record, WARM, seed=chosen.seed + 1, rate=chosen.rate)
        pids, held = sorted(service.pids()), chaos_serve.memory(service.pids())
        found, before, beside, looks = [], [], [], []
        for part in range(PARTS):  # what else goes on on the machine meets both alike
            with chaos_serve.traffic(service, rate=GOOD_RATE) as answers:
                time.sleep(chosen.calm / PARTS)
            before += answers
            with chaos_serve.traffic(service, rate=GOOD_RATE) as answers:
                count, seed = chosen.requests // PARTS, chosen.seed + 100 * part
                found += attacked(service, record, count, seed=seed, rate=chosen.rate)
            beside += answers
            looks.append(round(chaos_serve.memory(pids) / held - 1, 3))
        wrong = table(found)
        yield f"{len(found)} wrong requests: not answered with 4xx", wrong, 0, wrong == 0
        now = sorted(service.pids())
        yield "replicas", now, pids, now == pids
        growth = chaos_serve.memory(now) / held - 1
        yield "growth of their memory", round(growth, 3), GROWTH, growth <= GROWTH
        yield "on the way, and before in MB", (looks, held // 2**20), None, True
        failed = collections.Counter(one.status for one in beside if one.status != 200)
        yield f"{len(beside)} good requests: failed", dict(failed), {}, not failed
        ratio = chaos_serve.p99(beside) / chaos_serve.p99(before)
        yield "p99 of good requests, ms", round(1e3 * chaos_serve.p99(beside), 1), None, True
        yield "p99 without, ms", round(1e3 * chaos_serve.p99(before), 1), None, True
        yield "p99 / without", round(ratio, 2), SLOWER, ratio <= SLOWER
        if chosen.examples:
            well = described(service, chosen.examples, chosen.seed)
            yield "schemathesis", "as described" if well else "not as described", None, well
            now = sorted(service.pids())
            yield "replicas", now, pids, now == pids


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=60.0, help="wrong requests a second")
    parser.add_argument("--calm", type=float, default=50.0, help="seconds of good requests alone")
    parser.add_argument("--examples", type=int, default=30, help="of schemathesis an operation")
    parser.add_argument("--no-grpc", dest="grpc", action="store_false")
    held = True
    for what, value, bound, good in run(parser.parse_args()):
        beside = "" if bound is None else f"  (bound {bound})"
        print(f"{what:60} {value}{beside}{'' if good else '  MISSED'}", flush=True)
        held &= good
    return 0 if held else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--attack"]:
        os.nice(5)
        port, grpc_port, record, count, seed, rate = json.loads(sys.argv[2])
        outcome = malformed.attack(port, grpc_port, record, count, seed, rate, most=16)
        Path(sys.argv[3]).write_text(json.dumps(asyncio.run(outcome)))
    else:
        sys.exit(main())
