"""Services are ended, and nothing that was not named."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from raymm import ending, endpoint, occupied
from raymm.errors import Conflict, NotFound, ServingError


def made(**changes):
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    return endpoint.Service(**{**known, **changes})


@pytest.fixture
def child():
    """A process that serves, as far as its record says."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    threading.Thread(target=process.wait, daemon=True).start()
    yield process
    process.kill()


def test_stopping_ends_the_process_and_its_record(home):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    endpoint.record(made(pid=child.pid, started=endpoint.started_at(child.pid)))
    threading.Thread(target=child.wait, daemon=True).start()
    assert ending.stop("loans")[0].pid == child.pid
    assert child.wait(10) != 0
    assert endpoint.find("loans") is None


def test_stopping_one_of_several_models_that_have_ended_ends_the_records_of_all(home):
    endpoint.record(made(models=("loans", "other"), pid=1, started=-1.0))
    assert endpoint.find("other").name == "loans"
    assert ending.stop("other")[0].served() == ("loans", "other")
    assert endpoint.find("loans") is endpoint.find("other") is None


@pytest.mark.usefixtures("own_orphans")
def test_nothing_is_said_to_have_ended_whose_port_still_answers(home, monkeypatch):
    monkeypatch.setattr(occupied, "_CLOSES", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as left:
        port = left.getsockname()[1]
        endpoint.record(made(pid=1, started=-1.0, url=f"http://127.0.0.1:{port}"))
        with pytest.raises(ServingError, match=f"port {port} is still held"):
            ending.stop("loans")
    assert endpoint.find("loans") is None


def test_what_was_deployed_together_ends_together_where_all_are_named(home, child):
    held = {"pid": child.pid, "started": endpoint.started_at(child.pid)}
    endpoint.record(made(models=("loans", "other"), **held))
    for name, rest in (("loans", "other"), ("other", "loans")):
        told = f"{rest} would end too.* raymm stop {name} {rest}.* raymm deploy {rest}"
        with pytest.raises(Conflict, match=told):
            ending.stop(name)
    assert child.poll() is None
    assert endpoint.find("loans") is not None
    assert [one.name for one in ending.stop(("other", "loans"))] == ["loans"]
    assert child.wait(10) != 0
    assert endpoint.find("loans") is endpoint.find("other") is None


def test_with_who_holds_a_cluster_those_end_that_joined_it(home, child, monkeypatch):
    order = []
    monkeypatch.setattr(ending, "_end", lambda one: order.append(one.name))
    held = {"pid": child.pid, "started": endpoint.started_at(child.pid), "address": "127.0.0.1:7"}
    endpoint.record(made(**held))
    endpoint.record(made(name="late", url="http://127.0.0.1:1/late", address="127.0.0.1:7"))
    endpoint.record(made(name="far", url="http://127.0.0.1:1/far", address="10.0.0.1:7"))
    monkeypatch.setattr(ending, "alive", lambda _: True)
    assert endpoint.ending_with(endpoint.find("loans")) == ("loans", "late")
    with pytest.raises(Conflict, match="late would end too"):
        ending.stop("loans")
    assert order == []
    ending.stop("late")  # who joined ends alone
    ending.stop(("loans", "late"))
    assert order == ["late", "late", "loans"]
    for name in ("loans", "late", "far"):
        endpoint.path_of(name).unlink()


def test_where_one_is_not_there_none_ends(home, child):
    endpoint.record(made(pid=child.pid, started=endpoint.started_at(child.pid)))
    with pytest.raises(NotFound, match="raymm deploy nobody"):
        ending.stop(("loans", "nobody"))
    assert child.poll() is None
    endpoint.path_of("loans").unlink()
