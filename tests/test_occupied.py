"""A second service on a machine is told of the first, and how to join or end it."""

from __future__ import annotations

import os
import socket

import pytest

from raymm import endpoint, leftover, occupied, service
from raymm.errors import Conflict, ServingError
from raymm.sections import MonitoringConfig, RayConfig, ServingConfig

HAPROXY = "Failed: [ALERT] cannot bind socket (Address already in use) for [0.0.0.0:9101]"


def recorded(name, **changes):
    known = {"name": name, "url": "http://127.0.0.1:8000", "token": "", "storage": "s"}
    pid = os.getpid()
    held = {"pid": pid, "started": endpoint.started_at(pid), "address": "127.0.0.2:1"}
    endpoint.record(endpoint.Service(**{**known, **held, **changes}))


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path, own_orphans):
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)


@pytest.fixture
def taken(monkeypatch):
    """A port that is held, which is where HAProxy is to tell its figures."""
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))
        held.listen()
        port = held.getsockname()[1]
        monkeypatch.setenv("RAY_SERVE_HAPROXY_METRICS_PORT", str(port))
        yield port


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ordered(**changes):
    config = ServingConfig(port=free(), **changes)
    return service.Order(
        name="new",
        storage="s",
        serving=config,
        monitoring=MonitoringConfig(),
        ray=RayConfig(),
    )


def test_the_models_that_are_served_and_both_commands_are_told(taken):
    recorded("wine", models=("wine", "beer"))
    recorded("late", pid=0, url="http://127.0.0.1:8000/late")
    told = rf"service of wine and beer and late runs here .* port {taken}.*--join wine .* stop wine"
    with pytest.raises(Conflict, match=told):
        service.detach(ordered(), {}, notify=str)
    with pytest.raises(Conflict, match=told), service.serving(ordered()):
        pass


def test_no_service_or_one_that_ended_is_in_nobodys_way(taken):
    occupied.require_room(["new"], ordered().serving)
    recorded("wine", started=-1.0)
    recorded("far", pid=0, address="10.0.0.1:6379")
    occupied.require_room(["new"], ordered().serving)


def test_without_haproxy_the_service_s_own_port_alone_counts(taken, monkeypatch):
    recorded("wine")
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    occupied.require_room(["new"], ordered().serving)
    with pytest.raises(Conflict, match=rf"port {taken} is taken.*new --join wine"):
        occupied.require_room(["new"], ServingConfig(port=taken))


def test_the_words_of_haproxy_are_turned_into_what_to_do():
    other = ServingError("no reason given")
    assert occupied.explained(other, ["new"]) is other
    told = occupied.explained(ServingError(HAPROXY), ["new"])
    assert isinstance(told, ServingError)
    assert "port 9101 is taken by " in str(told)
    assert "RAY_SERVE_HAPROXY_METRICS_PORT" in str(told)
    recorded("wine")
    told = occupied.explained(ServingError(HAPROXY), ["new", "newer"])
    assert isinstance(told, Conflict)
    assert "raymm deploy new newer --join wine" in str(told)


def test_a_port_of_the_service_s_own_that_is_held_is_told_with_who_holds_it(taken):
    told = rf"new cannot be served: port {taken} is taken by process {os.getpid()} \(.*kill"
    with pytest.raises(ServingError, match=told):
        occupied.require_room(["new"], ServingConfig(port=taken))


def test_what_a_killed_service_left_is_ended_before_ports_are_looked_at(monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as left:
        port = left.getsockname()[1]
        monkeypatch.setattr(leftover, "end", lambda: (left.close(), (4711,))[1])
        occupied.require_room(["new"], ServingConfig(port=port))
    assert "4711" in caplog.text


def test_a_service_has_not_ended_while_something_answers_at_its_address(monkeypatch):
    monkeypatch.setattr(occupied, "_CLOSES", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as left:
        port = left.getsockname()[1]
        ended = endpoint.Service(name="wine", url=f"http://127.0.0.1:{port}", token="", storage="")
        told = rf"wine has ended, but port {port} is still held by process {os.getpid()} .*kill"
        with pytest.raises(ServingError, match=told):
            occupied.require_ended(ended)
        recorded("beer", url=f"http://127.0.0.2:{port}")
        with pytest.raises(ServingError, match=told):
            occupied.require_ended(ended)
        for url in (ended.url, f"https://127.0.0.1:{port}"):
            recorded("beer", url=url)
            occupied.require_ended(ended)  # another service took its place
        endpoint.path_of("beer").unlink()
        monkeypatch.setattr(leftover, "end", left.close)
        occupied.require_ended(ended)
