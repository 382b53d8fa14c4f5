from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raymm.monitoring.events import MOST_BYTES, TRIES, Event, tell
from raymm.sections import EventsConfig

EVENT = Event(kind="drift", model="churn", reason="age drifted.", at=5.0, number=3)


class Listener(BaseHTTPRequestHandler):
    """Answers with the statuses it is given, the last one for good, and keeps what came."""

    def do_POST(self) -> None:
        server: Any = self.server
        server.came.append(self.rfile.read(int(self.headers["content-length"])))
        status = server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0]
        self.send_response(status)
        if status == 302:
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Listener)
    server.came, server.statuses = [], [204]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def hook(listener: Any) -> EventsConfig:
    return EventsConfig(webhook=f"http://127.0.0.1:{listener.server_port}/x")


def test_the_log_gains_a_line_an_event(tmp_path: Path) -> None:
    config = EventsConfig(log=str(tmp_path / "new" / "events.jsonl"))
    assert tell(EVENT, config) == ()
    assert tell(EVENT, config) == ()
    lines = (tmp_path / "new" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["age drifted."] * 2


def test_a_webhook_is_tried_again_and_then_given_up(listener: Any) -> None:
    slept: list[float] = []
    listener.statuses = [500, 204]
    assert tell(EVENT, hook(listener), sleep=slept.append) == ()
    assert (len(listener.came), slept) == (2, [1.0])
    assert json.loads(listener.came[0])["model"] == "churn"
    listener.statuses = [503]
    assert tell(EVENT, hook(listener), sleep=slept.append) == ("webhook: answered 503",)
    assert len(listener.came) == 2 + TRIES


def test_a_webhook_is_not_followed_elsewhere(listener: Any) -> None:
    listener.statuses = [302]
    (failure,) = tell(EVENT, hook(listener), sleep=lambda _: None)
    assert failure == "webhook: answered 302"


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://127.0.0.1/x", "https://", "x"])
def test_only_https_or_this_machine_is_told(url: str) -> None:
    with pytest.raises(ValidationError, match="webhook"):
        EventsConfig(webhook=url)


def test_a_command_reads_the_event_and_no_shell_reads_the_command(tmp_path: Path) -> None:
    out = tmp_path / "out $(touch hacked)"
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    config = EventsConfig(command=(sys.executable, "-c", code, str(out)))
    assert tell(EVENT, config) == ()
    assert json.loads(out.read_text())["kind"] == "drift"
    assert not Path("hacked").exists()


def test_what_fails_is_told_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = EventsConfig(log=str(tmp_path / "file" / "x"), command=(str(tmp_path / "nothing"),))
    failures = tell(EVENT, config, sleep=lambda _: None)
    assert [failure.split(":")[0] for failure in failures] == ["log", "command"]


def test_an_event_is_bounded() -> None:
    long = Event(kind="drift", model="m", reason="r" * 10**6, at=0.0, figures={"x": ["y"] * 10**5})
    assert len(long.encode()) < MOST_BYTES
