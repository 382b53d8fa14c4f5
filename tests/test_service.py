"""Services: their orders, their records, and who is asked."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from raymm import endpoint, service
from raymm.errors import ConfigError, NotFound, ServingError
from raymm.registry.versions import Registry


def made(**changes):
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    return endpoint.Service(**{**known, **changes})


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


def test_stopping_ends_the_process_and_its_record(home):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    endpoint.record(made(pid=child.pid, started=endpoint.started_at(child.pid)))
    threading.Thread(target=child.wait, daemon=True).start()
    assert service.stop("loans").pid == child.pid
    assert child.wait(10) != 0
    assert endpoint.find("loans") is None


def test_wider_than_loopback_needs_a_token():
    from raymm.sections import ServingConfig

    service._require_safe(ServingConfig(auth="none"))
    service._require_safe(ServingConfig(host="0.0.0.0"))
    with pytest.raises(ServingError, match=r"serving\.auth to token"):
        service._require_safe(ServingConfig(host="0.0.0.0", auth="none"))


def test_serve_deploy_needs_a_token_in_the_environment(home, monkeypatch):
    monkeypatch.delenv("RAYMM_TOKEN", raising=False)
    with pytest.raises(ServingError, match="RAYMM_TOKEN"):
        service.serve_application({"name": "loans", "storage": str(home)})
