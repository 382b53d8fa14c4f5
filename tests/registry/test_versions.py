from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Version
from raymm.errors import ConfigError, NotBlessed, NotFound, RegistryError
from raymm.registry.store import blob_path
from raymm.registry.versions import Registry, version_of

_stores = iter(range(10**9))


def add(
    registry: Registry, name: str = "churn", *, run: str = "r1", blessed: bool = True
) -> Version:
    return registry.register(
        name,
        f"bundle of {run}".encode(),
        run=run,
        blessed=blessed,
        summary={"score": 0.9, "family": "linear"},
        parts={"report": b"<html>"},
    )


def test_what_is_registered_is_read_back(uri: str) -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    version = add(Registry(uri, clock=lambda: moment))
    registry = Registry(uri)
    assert version.number == 1
    assert version.created == "2024-01-02T03:04:05+00:00"
    assert registry.version("churn", 1) == version
    assert registry.versions("churn") == (version,)
    assert registry.models() == ("churn",)
    assert registry.bundle(version) == b"bundle of r1"
    assert registry.part(version, "report") == b"<html>"
    assert list(version.summary) == ["score", "family"]


def test_the_same_run_and_bundle_is_one_version(uri: str) -> None:
    registry = Registry(uri)
    first = add(registry)
    assert add(registry, run="r2").number == 2
    assert add(Registry(uri)) == first
    assert len(registry.versions("churn")) == 2


def test_a_bundle_that_is_judged_otherwise_is_another_version(uri: str) -> None:
    registry = Registry(uri)
    refused = add(registry, blessed=False)
    blessed = add(registry, blessed=True)
    assert (refused.number, refused.blessed) == (1, False)
    assert (blessed.number, blessed.blessed, blessed.bundle) == (2, True, refused.bundle)
    assert [add(registry, blessed=one).number for one in (False, True)] == [1, 2]


def test_the_same_run_registered_at_once_by_many_is_one_version(uri: str) -> None:
    found: list[int] = []
    start = threading.Barrier(6)

    def register() -> None:
        start.wait()
        found.append(add(Registry(uri)).number)

    threads = [threading.Thread(target=register) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 6
    assert len(Registry(uri).versions("churn")) == 1


def test_nothing_is_seen_before_the_record(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(uri)
    create = registry.store.create

    def killed(path: str, data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.store, "create", killed)
    with pytest.raises(KeyboardInterrupt):
        add(registry)
    assert Registry(uri).models() == ()
    monkeypatch.setattr(registry.store, "create", create)
    assert add(registry).number == 1


def test_only_the_blessed_are_promoted_unless_forced_with_a_reason(uri: str) -> None:
    registry = Registry(uri)
    add(registry, blessed=False)
    with pytest.raises(NotBlessed, match="churn@1"):
        registry.promote("churn", 1, reason="because")
    with pytest.raises(ConfigError, match="reason"):
        registry.promote("churn", 1, reason=" ", force=True)
    assert registry.champion("churn") is None
    promotion = registry.promote("churn", 1, reason="an emergency", force=True)
    assert (promotion.forced, promotion.reason, promotion.previous) == (True, "an emergency", None)
    assert registry.champion("churn") == registry.version("churn", 1)


def test_promoting_the_champion_again_adds_nothing(uri: str) -> None:
    registry = Registry(uri)
    add(registry)
    assert registry.promote("churn", 1, reason="a") == registry.promote("churn", 1, reason="b")
    assert len(registry.promotions("churn")) == 1


@pytest.mark.slow
def test_rolling_back_goes_further_back_each_time(uri: str) -> None:
    registry = Registry(uri)
    for n in (1, 2, 3):
        add(registry, run=f"r{n}")
        registry.promote("churn", n, reason="better")
    back = registry.rollback("churn", reason="slow")
    assert (back.action, back.number, back.previous) == ("rollback", 2, 3)
    assert registry.rollback("churn", reason="still slow").number == 1
    with pytest.raises(NotFound, match="no earlier champion"):
        registry.rollback("churn", reason="again")
    assert [p.number for p in registry.promotions("churn")] == [1, 2, 3, 2, 1]


def test_a_rollback_with_no_promotion_says_so(uri: str) -> None:
    registry = Registry(uri)
    add(registry)
    with pytest.raises(NotFound, match="none was ever promoted"):
        registry.rollback("churn", reason="")


@pytest.mark.slow
@given(steps=st.lists(st.integers(0, 3), max_size=12))
@settings(max_examples=40, deadline=None)
def test_champions_follow_a_pile(steps: list[int]) -> None:
    """0 rolls back, k promotes version k: the champion is the top of a pile of champions."""
    registry = Registry(f"memory://pile-{next(_stores)}")
    for n in (1, 2, 3):
        add(registry, run=f"r{n}")
    pile: list[int] = []
    for step in steps:
        if step:
            registry.promote("churn", step, reason="")
            pile += [step] if pile[-1:] != [step] else []
        elif len(pile) > 1:
            registry.rollback("churn", reason="")
            pile.pop()
        else:
            with pytest.raises(NotFound):
                registry.rollback("churn", reason="")
        champion = registry.champion("churn")
        assert (champion.number if champion else None) == (pile[-1] if pile else None)


def test_errors_name_what_exists(uri: str) -> None:
    registry = Registry(uri)
    with pytest.raises(NotFound, match="Known: none yet"):
        registry.versions("churn")
    version = add(registry)
    with pytest.raises(
        NotFound, match=r'"chrn" is not known\. Did you mean "churn"\? Known: churn'
    ):
        registry.versions("chrn")
    with pytest.raises(NotFound, match=r"has no version 7\. It has only 1"):
        registry.promote("churn", 7, reason="")
    with pytest.raises(NotFound, match='Did you mean "report"'):
        registry.part(version, "reprt")
    with pytest.raises(NotFound):
        registry.rollback("other", reason="")
    assert registry.champion("other") is None


@pytest.mark.parametrize("name", ["../x", "Churn", "a/b", ""])
def test_a_bad_name_never_reaches_storage(uri: str, name: str) -> None:
    with pytest.raises(ConfigError, match="model's name"):
        add(Registry(uri), name)
    with pytest.raises(ConfigError, match="model's name"):
        Registry(uri).champion(name)


def test_a_damaged_bundle_is_neither_loaded_nor_promoted(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    version = add(registry)
    for wrong in (b"bundle of r2", b"more bytes than it had when it was written"):
        (tmp_path / blob_path(version.bundle)).write_bytes(wrong)
        with pytest.raises(RegistryError, match="damaged"):
            registry.bundle(version)
    with pytest.raises(RegistryError, match="damaged"):
        registry.promote("churn", 1, reason="")
    assert registry.champion("churn") is None


@pytest.mark.parametrize("named", ["churn@", "churn@x", "churn@-1", "churn@1@2", "churn@²"])
def test_what_follows_the_sign_is_a_version_s_number(named: str) -> None:
    with pytest.raises(ConfigError, match="NAME@NUMBER"):
        version_of(named)


def test_a_version_that_is_named_twice_is_the_same() -> None:
    assert version_of("churn@3", 3) == ("churn", 3)
    with pytest.raises(ConfigError, match="churn@3 names version 3, but 2 is given too"):
        version_of("churn@3", 2)


def test_a_version_in_a_model_s_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A model is asked for here, not a version"):
        Registry(str(tmp_path)).versions("churn@3")
