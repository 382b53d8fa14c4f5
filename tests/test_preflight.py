"""What is wrong with a service is told before anything starts."""

from __future__ import annotations

import os
import socket

import pytest

from raymm import endpoint
from raymm.errors import ConfigError, Conflict, ServingError
from raymm.preflight import paths_of, token_for, unready
from raymm.sections import RayConfig, ServingConfig

LONG = "s" * 32
ABSENT = "/absent/file"


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path, own_orphans):
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))
    for name in ("RAY_ADDRESS", "RAYMM_TOKEN", "RAYMM_TOKENS"):
        monkeypatch.delenv(name, raising=False)


def looked(address="local", **changes):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return token_for(
        ["new"], ServingConfig(**{"port": port, **changes}), RayConfig(address=address)
    )


def test_each_start_has_a_token_of_its_own_unless_one_is_given_or_none_is_asked_for(monkeypatch):
    assert len({looked(), looked()}) == 2
    monkeypatch.setenv("RAYMM_TOKEN", LONG)
    assert looked() == LONG
    assert looked(auth="none") == ""


@pytest.mark.parametrize("text", [None, "", "# none\n", "alice: short\n", "alice\n", "b\xff: x\n"])
def test_a_file_of_tokens_that_is_wrong_is_told_in_a_line(tmp_path, text):
    path = tmp_path / "tokens"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        looked(tokens=str(path))
    assert (str(path) in str(caught.value), "\n" in str(caught.value)) == (True, False)
    path.write_text(f"alice: {LONG}\n")
    assert looked(tokens=str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_tokens_that_may_not_be_read_is_told(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"alice: {LONG}\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        looked(tokens=str(path))


def test_tokens_of_the_environment_are_looked_at_too(monkeypatch):
    monkeypatch.setenv("RAYMM_TOKENS", "alice: short")
    with pytest.raises(ConfigError, match=r"RAYMM_TOKENS.*16"):
        looked()


def test_where_a_cluster_is_joined_the_file_lies_with_its_replicas():
    assert looked(address="10.0.0.1:6379", tokens=ABSENT)


def test_a_certificate_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"serving\.certificate must be a PEM file.*no file"):
        looked(certificate=ABSENT, key=ABSENT)


def test_what_listens_wider_than_is_safe_and_a_port_that_is_held_are_refused():
    with pytest.raises(ServingError, match="TLS"):
        looked(host="0.0.0.0")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port} is taken"):
            looked(port=port)


def test_a_model_is_served_once():
    pid = os.getpid()
    held = {"pid": pid, "started": endpoint.started_at(pid), "token": "", "storage": ""}
    endpoint.record(endpoint.Service(name="new", url="http://127.0.0.1:8000", **held))
    with pytest.raises(Conflict, match="raymm stop new"):
        looked()


def test_files_of_a_service_are_told_as_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    config = ServingConfig(tokens="~/tokens", certificate="tls/c.pem", key="/run/k.pem")
    told = {"tokens": "/home/ann/tokens", "certificate": f"{tmp_path}/tls/c.pem"}
    assert paths_of(config) == {**told, "key": "/run/k.pem"}
    assert paths_of(ServingConfig()) == {}


def test_what_a_service_could_not_read_is_told_for_each_file(tmp_path):
    config = ServingConfig(tokens=ABSENT, certificate=ABSENT, key=ABSENT)
    assert [one.split()[0] for one in unready(config)] == ["serving.certificate", "serving.tokens"]
    path = tmp_path / "tokens"
    path.write_text(f"alice: {LONG}\n")
    assert list(unready(ServingConfig(tokens=str(path)))) == []
    path.write_text("alice: short\n")
    assert len(list(unready(ServingConfig(tokens=str(path))))) == 1
