"""Services: their orders, their records, and who is asked."""

from __future__ import annotations

import http.server
import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from raymm import service
from raymm.errors import ConfigError, NotFound, ServingError
from raymm.registry.versions import Registry


def made(**changes):
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    return service.Service(**{**known, **changes})


def test_an_order_takes_the_runs_settings_and_the_changes(home):
    ordered = service.order("loans", str(home), changes={"serving.port": 9000})
    assert ordered.serving.port == 9000
    assert ordered.serving.max_rows == 10_000
    with pytest.raises(ConfigError, match="port"):
        service.order("loans", str(home), changes={"serving.prot": 1})
    with pytest.raises(NotFound, match="loans"):
        service.order("nobody", str(home))


def test_replicas_are_told_of_a_newer_champion_only(finished, home):
    champion = Registry(str(home)).champion("loans")
    number, data = service.newer_champion(str(home), "loans", None)
    assert (number, len(data)) == (champion.number, champion.bundle_bytes)
    assert service.newer_champion(str(home), "loans", number) is None
    assert service.newer_champion(str(home), "nobody", None) is None


def test_records_are_readable_by_their_owner_alone_and_come_back(home):
    service._record(made())
    path = home / "services" / "loans.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert service.find("loans") == made()
    path.unlink()
    assert service.find("loans") is None


def test_a_process_is_known_by_its_start_not_by_its_number_alone():
    own = made(pid=os.getpid(), started=service._started(os.getpid()))
    assert service.alive(own)
    assert not service.alive(made(pid=os.getpid(), started=own.started - 1))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = made(pid=child.pid, started=service._started(child.pid))
    assert service.alive(alive)
    child.kill()
    child.wait()
    assert not service.alive(alive)


def test_stopping_ends_the_process_and_its_record(home):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    service._record(made(pid=child.pid, started=service._started(child.pid)))
    threading.Thread(target=child.wait, daemon=True).start()
    assert service.stop("loans").pid == child.pid
    assert child.wait(10) != 0
    assert service.find("loans") is None


def test_wider_than_loopback_needs_a_token():
    from raymm.config import ServingConfig

    service._require_safe(ServingConfig(auth="none"))
    service._require_safe(ServingConfig(host="0.0.0.0"))
    with pytest.raises(ServingError, match=r"serving\.auth to token"):
        service._require_safe(ServingConfig(host="0.0.0.0", auth="none"))


def test_serve_deploy_needs_a_token_in_the_environment(home, monkeypatch):
    monkeypatch.delenv("RAYMM_TOKEN", raising=False)
    with pytest.raises(ServingError, match="RAYMM_TOKEN"):
        service.serve_application({"name": "loans", "storage": str(home)})


@pytest.fixture
def answering():
    """A server that answers /good with its headers and everything else with 422."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status = 200 if self.path == "/good" else 422
            body = json.dumps({"token": self.headers["authorization"]}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            return None

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_asking_sends_the_token_and_tells_refusals(answering):
    asked = made(url=answering)
    assert service.ask(asked, "/good") == {"token": "Bearer t"}
    with pytest.raises(ServingError, match="answered 422"):
        service.ask(asked, "/bad")
    with pytest.raises(ServingError, match="does not answer"):
        service.ask(made(), "/good")
