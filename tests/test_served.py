from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raymm import endpoint, served
from raymm.registry.fsck import fsck
from raymm.registry.versions import Registry


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registry with a model of two versions, the first of which reigns."""
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))
    registry = Registry(str(tmp_path / "storage"))
    for n in range(2):
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    registry.promote("m", 1)
    return registry.uri


def recorded(registry: Registry) -> None:
    endpoint.record(endpoint.Service(name="m", url="http://h:1", token="", storage=registry.uri))


def kept(registry: Registry) -> None:
    registry.decisions("m").add("train", reason="x drifted.")


def tried(registry: Registry) -> None:
    registry.releases("m").shadow(2)


def signed(registry: Registry) -> None:
    served.sign(["m"], registry.uri)


def signed_later(registry: Registry) -> None:
    """By a newer raymm, in a format that this one cannot read."""
    registry.store.replace("served/m.json", b'{"version": 2}')


@pytest.mark.parametrize(("how", "told"), [
    (recorded, "recorded here"), (kept, "raymm keep"), (tried, "version 2 is its shadow"),
    (signed, "deployed with this storage at 20"), (signed_later, "a time that cannot be read"),
])  # fmt: skip
def test_how_a_model_is_known_to_be_served(storage: str, how: Any, told: str) -> None:
    recorded(Registry(f"{storage}-other"))  # another model of the same name
    assert served.known("m", storage) == ""
    how(Registry(storage))
    assert told in served.known("m", storage)


def test_a_service_elsewhere_is_known_by_its_monitors_copy_in_shared_storage(
    storage: str,
) -> None:
    shared = Registry("memory://served")
    shared.register("m", b"b", run="r", blessed=True, summary={}, parts={})
    for registry in (shared, Registry(storage)):
        assert served.known("m", registry.uri) == ""
        registry.store.replace("monitors/m/state.json", b"{}")
    assert "uses this storage" in served.known("m", shared.uri)
    # A folder of this machine holds what a service that ended here left, too.
    assert served.known("m", storage) == ""


def test_a_sign_is_no_fault_of_the_registry_and_is_of_its_model_alone(storage: str) -> None:
    before = fsck(Registry(storage))
    served.sign(["m", "n"], storage)
    served.sign(["m"], storage)  # deployed anew
    assert fsck(Registry(storage)) == before
    assert served.known("m", storage)
    assert served.known("o", storage) == ""


def test_storage_that_can_only_be_read_is_told_and_stops_no_service(
    storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A file where the folder would be, as root writes into folders that are read-only.
    (Path(storage) / "served").write_text("")
    served.sign(["m"], storage)
    assert "no sign of the service" in caplog.text
