"""Requests that are wrong in many ways, made from a seed, and a client that sends them.

Each kind is a generator of `Wrong`: the bytes to put on a connection, as they are. What comes back
is the status of the first answer, "closed", or "silent" where nothing came in time.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import io
import json
import random
import struct
import time

import numpy as np
import pyarrow as pa

PREDICT = "/v1/models/chaos/predict"
INFER = "/v2/models/chaos/infer"
HUGE = 300 * 2**20
PATIENCE = 45.0
"""Seconds for an answer: a body that never comes whole is given up after 30."""


@dataclasses.dataclass
class Wrong:
    """What is sent.

    ``pause`` seconds lie between single bytes of ``slow``; ``flood`` more bytes follow until there
    is an answer; ``ends`` says that the client closes its side afterwards. ``perhaps`` marks what
    was changed by chance and may be right after all.
    """

    data: bytes
    slow: bytes = b""
    pause: float = 0.0
    flood: int = 0
    ends: bool = False
    perhaps: bool = False


def http(body, *, path=PREDICT, method="POST", media="application/json", length=None, more=()):
    """Return a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Type: {media}", *more]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Kinds:
    """Makes wrong requests for a model whose example record is given.

    Each method that is named in `WEIGHTS` returns one of its kind.
    """

    def __init__(self, record, seed):
        self.record = record
        self.random = random.Random(seed)
        self.valid = json.dumps({"records": [record]}).encode()
        self.names = list(record)
        rows = 20
        frame = {name: [record[name]] * rows for name in self.names}
        words = {n: pa.array(v).dictionary_encode() for n, v in frame.items() if type(v[0]) is str}
        self.streams = [
            _stream(pa.table(frame)),
            _stream(pa.table(frame | words)),
            _stream(pa.table(frame), compression="zstd"),
            _stream(pa.table(frame), compression="lz4"),
        ]
        self.text = (
            ",".join(self.names)
            + "\n"
            + "\n".join([",".join(str(record[name]) for name in self.names)] * rows)
        ).encode()

    def post(self, value, **how):
        """Return a prediction request of a value as JSON."""
        return Wrong(http(json.dumps(value).encode(), **how))

    def changed(self, **columns):
        """Return a prediction request whose record differs."""
        return self.post({"records": [self.record | columns]})

    def number(self):
        """Return the name of a column of numbers."""
        return self.random.choice([n for n in self.names if type(self.record[n]) is not str])

    def word(self):
        """Return the name of a column of words."""
        return self.random.choice([n for n in self.names if type(self.record[n]) is str])

    # ------------------------------------------------------------------------- documents

    def deep_nesting(self):
        depth = int(10 ** self.random.uniform(2, 5.3))
        opened = self.random.choice([b"[", b'{"records":', b'{"a":[', b'[{"":'])
        body = (opened * (depth // len(opened) + 1))[:900_000]
        closed = self.random.random() < 0.5
        return Wrong(http(body + b"1" + (b"]" * len(body) if closed and opened == b"[" else b"")))

    def long_numbers(self):
        digits = "9" * int(10 ** self.random.uniform(2.5, 5.95))
        text = self.random.choice(
            [digits, "-" + digits, f"0.{digits}e999999", f"1e{digits[:6]}", f"{digits}.0"]
        )
        body = self.valid.replace(
            json.dumps(self.record[name := self.number()]).encode(), text.encode(), 1
        )
        return Wrong(http(body if name and body != self.valid else text.encode()))

    def no_numbers(self):
        word = self.random.choice(
            ["NaN", "Infinity", "-Infinity", "1e400", "nan", "0x1", "+1", "01"]
        )
        body = json.dumps({"records": [self.record | {self.number(): "#"}]})
        return Wrong(http(body.replace('"#"', word).encode()))

    def wrong_types(self):
        odd = self.random.choice([[], {}, [1], {"a": 1}, True, "12", "x" * 5000, [[None]]])
        if self.random.random() < 0.3:
            odd = odd if not isinstance(odd, str) else False
            return self.changed(**{self.word(): odd})
        return self.changed(**{self.number(): odd})

    def wrong_documents(self):
        one = self.random.choice(
            [[], {}, None, 1, "x", {"records": {}}, {"records": []}, {"records": [1]},
             {"records": [[]]}, {"records": [{}]}, {"record": []},
             {"records": [self.record], "x": 1},
             {"records": [self.record], "id": "no spaces allowed"}, {"records": [None]},
             {"records": [self.record | {"other": 1}]}, {"records": [self.record], "id": 7},
             {"records": [self.record] * 10_001}]
        )  # fmt: skip
        return self.post(one)

    def equal_keys(self):
        name = self.number()
        body = self.valid.decode().replace("{", "{" + f'"{name}": 1, ', 2).encode()
        return Wrong(http(self.random.choice([body, b'{"records": [], "records": [{}]}'])))

    def bad_utf8(self):
        name = self.word()
        junk = bytes(self.random.randrange(128, 256) for _ in range(self.random.randrange(1, 40)))
        junk += b"\xff"
        body = json.dumps({"records": [self.record | {name: "#"}]}).encode()
        body = body.replace(b"#", junk)
        return Wrong(http(self.random.choice([body, self.valid.decode().encode("utf-16"), junk])))

    def surrogates(self):
        half = self.random.choice(["\\ud800", "\\udfff", "\\ude00\\ud83d", "\\u0000"])
        key, word = self.random.random() < 0.3, self.word()
        body = json.dumps({"records": [self.record | ({"#": 1} if key else {word: "a#"})]})
        return Wrong(http(body.replace("#", half).encode()))

    def cut_documents(self):
        return Wrong(http(self.valid[: self.random.randrange(len(self.valid))]))

    def changed_documents(self):
        body = bytearray(self.valid)
        for _ in range(self.random.randrange(1, 8)):
            body[self.random.randrange(len(body))] = self.random.randrange(256)
        path = self.random.choice([PREDICT, PREDICT.replace("predict", "feedback")])
        return Wrong(http(bytes(body), path=path), perhaps=True)

    # -------------------------------------------------------------------------- the wire

    def compressed(self):
        bomb = self.random.choice(
            [gzip.compress(bytes(10**6)), self.valid, b"\x1f\x8b" + b"0" * 99]
        )
        how = self.random.choice(["gzip", "deflate", "br", "zstd", "x", "gzip, gzip", "GZip"])
        return Wrong(http(bomb, more=[f"Content-Encoding: {how}"]))

    def wrong_length(self):
        size = len(self.valid)
        length = self.random.choice(
            ["-1", "x", "", "1e3", "0x10", f"+{size}", "9" * 40, str(2**63), str(2**64 + size),
             str(self.random.randrange(1, size)), f"{size}\r\nContent-Length: {size + 1}",
             str(size + self.random.randrange(1, 500))]
        )  # fmt: skip
        return Wrong(http(self.valid, length=length), ends=True)

    def chunks(self):
        one = f"{len(self.valid):x}\r\n".encode() + self.valid + b"\r\n"
        body = self.random.choice(
            [b"zz\r\n" + one, b"-5\r\nhello\r\n0\r\n\r\n", b"F" * 16 + b"\r\nx",
             b"F" * 40 + b"\r\n",
             one[:-10], b"5\r\nhelloworld\r\n0\r\n\r\n", b"\r\n\r\n", b"5;" + b"x" * 70_000,
             b"1\r\n{\r\n" * 50 + b"0\r\n\r\n", b"0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"]
        )  # fmt: skip
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        named = self.random.choice(
            ["chunked", "chunked", "chunked", "gzip, chunked", "x", "chunked\r\nContent-Length: 5"]
        )
        return Wrong(f"{head}Transfer-Encoding: {named}\r\n\r\n".encode() + body, ends=True)

    def slow_bodies(self):
        cut = self.random.randrange(1, 20)
        whole = http(self.valid, length=len(self.valid) + 10_000)
        return Wrong(whole[:-cut], slow=whole[-cut:] + b" " * 40, pause=0.25)

    def slow_heads(self):
        whole = http(self.valid)
        cut = self.random.randrange(10, 60)
        return Wrong(whole[:cut], slow=b"x-a: b\r\n" * 5, pause=0.25, ends=True)

    def huge_bodies(self):
        head = http(b"", length=HUGE)
        if self.random.random() < 0.3:
            head = head.replace(f"Content-Length: {HUGE}".encode(), b"Transfer-Encoding: chunked")
            return Wrong(head + f"{HUGE:x}\r\n".encode(), flood=HUGE)
        return Wrong(head, flood=HUGE)

    def huge_heads(self):
        size = int(10 ** self.random.uniform(4.5, 6))
        more = self.random.choice(
            [[f"X-A: {'a' * size}"], ["X-A: b"] * (size // 100), [f"{'x' * size}: a"],
             [f"Authorization: Bearer {'t' * size}"], [f"Cookie: {'c=d; ' * (size // 5)}"]]
        )  # fmt: skip
        return Wrong(http(self.valid, more=more))

    def odd_heads(self):
        more = self.random.choice(
            ["no colon", ": empty", "a b: c", "X-A: \0", "X-A: a\rb", " folded: x", "X\x80: y",
             "Host: y", "Expect: nothing", "Content-Type: text/html", "Upgrade: websocket"]
        )  # fmt: skip
        return Wrong(http(b"{", more=[more]))

    def odd_lines(self):
        data = self.random.choice(
            [b"GET\r\n\r\n", b"\0" * 50, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"r" * 99,
             b"POST / HTTP/9.9\r\n\r\n", b"POST  /  HTTP/1.1\r\n\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 30, b"* * *\r\n\r\n", b"\r\n" * 3000,
             b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
             b"A" * 100_000, bytes(self.random.randrange(256) for _ in range(300)) + b"\r\n\r\n"]
        )  # fmt: skip
        return Wrong(data, ends=True)

    def methods(self):
        method = self.random.choice(
            ["PUT", "DELETE", "PATCH", "TRACE", "FOO", "get", "GET", "PROPFIND", "X" * 300]
        )
        return Wrong(http(self.valid, method=method))

    def paths(self):
        path = self.random.choice(
            ["/v1/models/../../etc/passwd", "/v1/models/%2e%2e/%2e%2e/predict", "/%00",
             "/v1/models/chaos%00/predict", "//v1//models", "/v1/models/chaos/predict/",
             "/v1/models/" + "a" * 7000 + "/predict", "/v1/models/%ff%fe/predict",
             "/v1/models/nobody?" + "a=b&" * 900,
             "/v1/models/nobody/predict", "/v1/models//predict", "/v1/models/a/b/predict",
             "/v2/models/chaos/versions/x/infer", "/v2/models/chaos/versions/-1/infer",
             "/v2/models/chaos/versions/99999999999999999999/infer", "/assets/../../app.py",
             "/assets/%2e%2e%2fapp.py", "/v1/models/%0d%0aSet-Cookie:x/predict",
             "/v1/models/é/predict",
             "/-/nothing", "\\\\x", "/v1/models/chaos/predict?\0"]
        )  # fmt: skip
        return Wrong(http(self.valid, path=path))

    def media(self):
        media = self.random.choice(
            ["text/html", "multipart/form-data; boundary=x", "application/octet-stream",
             "application/json; charset=utf-16", "image/png", "text/csv; charset=latin-1",
             "text/csv; header=absent", "application/vnd.apache.arrow.file", "x" * 3000,
             "application/x-ndjson", "application/x-python-serialize"]
        )  # fmt: skip
        return Wrong(http(self.valid, media=media))

    # ------------------------------------------------------------------- other protocols

    def tensors(self):
        good = {
            "inputs": [
                {"name": name, "shape": [1, 1], "data": [value],
                 "datatype": "BYTES" if type(value) is str else "FP32"}
                for name, value in self.record.items()
            ]
        }  # fmt: skip
        one = self.random.choice(good["inputs"])
        key, value = self.random.choice(
            [("shape", [-1, 1]), ("shape", [2**62, 1]), ("shape", [2**62, 2**62]), ("shape", []),
             ("shape", "1"), ("shape", [1.0]), ("shape", [True, 1]), ("shape", [1] * 9000),
             ("data", []), ("data", [[[1]]]), ("data", None), ("data", [{}]), ("data", [1e400]),
             ("datatype", "FP8"), ("datatype", None), ("datatype", []), ("name", "x"), ("name", 3),
             ("name", "\ud800")]
        )  # fmt: skip
        one[key] = value
        return Wrong(http(json.dumps(good).replace("Infinity", "1e400").encode(), path=INFER))

    def labels(self):
        good = {"id": "a", "label": "yes"}
        odd = self.random.choice(
            [{"id": "a b"}, {"id": 1}, {"id": "a" * 500}, {"label": "maybe"}, {"label": None},
             {"label": [1]}, {"other": 1}, {"id": None}, {"label": 10**400}]
        )  # fmt: skip
        body = self.random.choice([{"labels": [good | odd]}, {"labels": []}, {"labels": {}}, []])
        return self.post(body, path=PREDICT.replace("predict", "feedback"))

    def explanations(self):
        body = self.random.choice(
            [{"records": [self.record], "class": "maybe"}, {"records": [self.record] * 21},
             {"records": [self.record], "class": 1}, {"records": []}, {"class": "yes"}, 1,
             {"records": [self.record | {self.number(): "x"}]}]
        )  # fmt: skip
        return self.post(body, path=PREDICT.replace("predict", "explain"))

    def csv(self):
        names, line = self.text.split(b"\n")[:2]
        body = self.random.choice(
            [b"", b"\n", names, b",,,\n,,,", names + b"\n" + line + b",1", names + b"\n" + b'"',
             names + b"," + names + b"\n" + line + b"," + line, b"," * 200_000, b"a\n1",
             names + b"\n" + line.replace(b",", b";"), self.text.decode().encode("utf-16"),
             names + b"\n" + line[:-1] + b"\xff", self.text.replace(b"\n", b"\n\0"), b'"' * 99_999,
             names + b"\n" + line + b"\n" + b"1," * 400_000,
             names + b"\n" + (line + b"\n") * 10_001,
             names + b"\n" + b"x" * 300_000 + b"," + line.partition(b",")[2]]
        )  # fmt: skip
        return Wrong(http(body, media="text/csv"))

    def changed_csv(self):
        body = bytearray(self.text)
        for _ in range(self.random.randrange(1, 6)):
            body[self.random.randrange(len(body))] = self.random.choice(b'",\n\r\0\xffx9;')
        return Wrong(http(bytes(body), media="text/csv"), perhaps=True)

    def arrow(self):
        zeros = np.zeros(2 * 10**6)
        bomb = self.random.choice(
            ["bomb", "lie", "nulls", "cut", "junk", "types", "batches", "long"]
        )
        body = b"\xff\xff\xff\xff" + struct.pack("<i", 2**30) + b"junk" * 50
        if bomb == "bomb":
            body = _stream(pa.table({self.number(): zeros}), compression="zstd")
        if bomb == "lie":
            body = _lying(self.streams[2], 2**62)
        if bomb == "nulls":
            body = _stream(pa.table({self.number(): pa.nulls(10**9)}))
        if bomb == "cut":
            body = self.random.choice(self.streams)
            body = body[: self.random.randrange(8, len(body) - 20)]
        if bomb == "types":
            odd = self.random.choice([[[1]], [{"a": 1}], [b"x"], ["x"], [True]])
            body = _stream(pa.table(dict.fromkeys(self.names, odd)))
        if bomb == "batches":
            table = pa.table({name: [self.record[name]] for name in self.names})
            body = _stream(*[table] * 1100)
        if bomb == "long":
            words = pa.DictionaryArray.from_arrays(np.zeros(9000, np.int8), pa.array(["x" * 9000]))
            plain = {name: [self.record[name]] * 9000 for name in self.names}
            small = {n: pa.array(v).dictionary_encode() for n, v in plain.items()}
            body = _stream(pa.table(small | {self.word(): words}))
        return Wrong(http(body, media="application/vnd.apache.arrow.stream"), perhaps=bomb == "cut")

    def changed_arrow(self):
        body = bytearray(self.random.choice(self.streams))
        for _ in range(self.random.randrange(1, 8)):
            body[self.random.randrange(len(body))] = self.random.choice((0, 1, 127, 128, 255))
        media = "application/vnd.apache.arrow.stream"
        return Wrong(http(bytes(body), media=media), perhaps=True)


WEIGHTS = {
    "deep_nesting": 5, "long_numbers": 6, "no_numbers": 6, "wrong_types": 6, "wrong_documents": 5,
    "equal_keys": 5, "bad_utf8": 5, "surrogates": 5, "cut_documents": 5, "changed_documents": 5,
    "compressed": 5, "wrong_length": 5, "chunks": 5, "slow_bodies": 1.5, "slow_heads": 1,
    "huge_bodies": 0.4, "huge_heads": 3, "odd_heads": 4, "odd_lines": 4, "methods": 4, "paths": 6,
    "media": 4, "tensors": 5, "labels": 4, "explanations": 3, "csv": 6, "changed_csv": 5,
    "arrow": 5, "changed_arrow": 6,
}  # fmt: skip
GRPC = "grpc"


def _stream(*tables, compression=None):
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as stream:
        for table in tables:
            stream.write_table(table)
    return sink.getvalue()


def many(record, rows):
    """Return a stream of many rows of one record."""
    return _stream(
        pa.table(
            {name: pa.array([value] * rows).dictionary_encode() for name, value in record.items()}
        )
    )


def _lying(stream, size):
    """Return a stream whose compressed buffers say that they hold more."""
    body = bytearray(stream)
    for place in range(0, len(body) - 12, 8):
        (said,) = struct.unpack_from("<q", body, place)
        if said in (80, 160) and body[place + 8 : place + 12] == b"\x28\xb5\x2f\xfd":
            struct.pack_into("<q", body, place, size)
    return bytes(body)


async def send(port, wrong):
    """Send a request; returns the status of what comes back, "closed" or "silent"."""
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
        answer = asyncio.ensure_future(_status(reader))
        sending = asyncio.ensure_future(_send(writer, wrong))
        done, _ = await asyncio.wait({answer}, timeout=PATIENCE)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending
        if not done:
            answer.cancel()
            return "silent"
        return answer.result()
    except (OSError, TimeoutError):
        return "closed"
    finally:
        if writer is not None:
            writer.transport.abort()


async def _send(writer, wrong):
    writer.write(wrong.data)
    await writer.drain()
    for place in range(len(wrong.slow)):
        await asyncio.sleep(wrong.pause)
        writer.write(wrong.slow[place : place + 1])
    piece, left = b" " * 65536, wrong.flood
    while left > 0:
        writer.write(piece)
        await writer.drain()
        left -= len(piece)
    if wrong.ends:
        await asyncio.sleep(0.2)
        writer.write_eof()


async def _status(reader):
    try:
        while True:
            line = await reader.readline()
            if not line:
                return "closed"
            parts = line.split()
            if len(parts) > 1 and parts[0].startswith(b"HTTP/") and parts[1] != b"100":
                return int(parts[1])
            if not line.strip() or line[:1].isalpha():
                continue
            return "closed"  # HTTP/2 frames: it says good-bye in them
    except (OSError, ValueError):
        return "closed"


class Calls:
    """Sends rubbish over gRPC."""

    METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata",
               "ModelInfer", "Nothing")  # fmt: skip

    def __init__(self, port, kinds):
        import grpc.aio

        self.random = kinds.random
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.port = port

    async def send(self):
        """Make a call, or send bytes; returns the code's name, or as `send` does."""
        import grpc

        if self.random.random() < 0.2:
            junk = bytes(self.random.randrange(256) for _ in range(self.random.randrange(1, 500)))
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if self.random.random() < 0.5 else b""
            return await send(self.port, Wrong(preface + junk, ends=True))
        method = self.random.choice(self.METHODS)
        size = self.random.choice([0, 1, 10, 100, 10_000, 2 * 2**20])
        body = self.random.randbytes(size)
        if self.random.random() < 0.5:  # a name that no model has, then junk
            body = b"\x0a\x05chaos" + b"\x2a\x02" + self.random.randbytes(2) + body[:50]
        elif self.random.random() < 0.3:  # as many fields as its bytes hold
            field = self.random.choice([b"\x22\x00", b"\x2a\x00", b"\x32\x00", b"\x3a\x00"])
            body = b"\x0a\x05chaos" + field * (min(size, 2**20 - 64) // 2)
        call = self.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        metadata = (("application", "chaos"),)
        try:
            await call(body, timeout=PATIENCE, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"


def plan(count, seed, grpc):
    """Return the kinds of ``count`` requests, shuffled, every kind at least once."""
    weights = WEIGHTS | ({GRPC: 5} if grpc else {})
    chosen = random.Random(seed)
    made = list(weights)
    made += chosen.choices(list(weights), list(weights.values()), k=max(0, count - len(made)))
    chosen.shuffle(made)
    return made[:count]


async def attack(port, grpc_port, record, count, seed, rate, most):
    """Send ``count`` wrong requests, at most ``rate`` a second; yields (kind, perhaps, outcome)."""
    kinds = Kinds(record, seed)
    calls = Calls(grpc_port, kinds) if grpc_port else None
    room = {"slow": asyncio.Semaphore(64), "huge": asyncio.Semaphore(2)}
    quick = asyncio.Semaphore(most)
    found = []

    async def one(number, kind):
        seats = room.get(kind.partition("_")[0], quick)
        if kind == "huge_heads":
            seats = quick
        async with seats:
            kinds.random.seed(f"{seed} {number}")  # the same request whatever came before it
            if kind == GRPC:
                found.append((kind, True, await calls.send()))
                return
            wrong = getattr(kinds, kind)()
            outcome = await send(port, wrong)
            found.append((kind, wrong.perhaps, outcome))

    tasks, start = [], time.monotonic()
    for number, kind in enumerate(plan(count, seed, calls is not None)):
        wait = start + number / rate - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(number, kind)))
    await asyncio.gather(*tasks)
    return found
