from __future__ import annotations

from pathlib import Path

import pytest

from raymm import wishing
from raymm.errors import NotFound
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


def test_a_request_lies_in_the_storage_and_says_whether_a_loop_of_this_home_runs(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = wishing.ask("m", storage, reason="new prices", source="new.csv")
    assert (answer.kept, answer.busy) == (False, "")
    assert Registry(storage).wishes("m").all() == (answer.request,)
    assert (answer.request.reason, answer.request.source) == ("new prices", "new.csv")
    seen: list[Path] = []
    monkeypatch.setattr(wishing, "held", lambda path: not seen.append(path))
    assert wishing.ask("m", storage).kept
    assert seen == [wishing.lock_of("m")]


@pytest.mark.parametrize(("step", "busy"), [
    ("train", "a training, since"), ("canary", "a trial of version 2, since"), ("promote", ""),
    ("guard", "a comparison of version 2, since"), ("confirm", ""), ("reject", ""),
])  # fmt: skip
def test_what_a_request_waits_for_is_told(storage: str, step: str, busy: str) -> None:
    registry = Registry(storage)
    if step == "canary":
        registry.releases("m").canary(2, 0.1)
    elif step == "guard":
        registry.promote("m", 2)
    number = None if step == "train" else 2
    registry.decisions("m").add(step, reason="why", number=number)
    assert wishing.ask("m", storage).busy.startswith(busy)
    assert bool(wishing.ask("m", storage).busy) is bool(busy)


def test_a_trial_that_a_person_ended_is_waited_for_no_more(storage: str) -> None:
    registry = Registry(storage)
    registry.releases("m").canary(2, 0.1)
    registry.decisions("m").add("canary", reason="why", number=2)
    registry.promote("m", 2)
    assert wishing.ask("m", storage).busy == ""


def test_nothing_is_asked_about_a_model_without_a_champion(storage: str) -> None:
    registry = Registry(storage)
    registry.register("new", b"b", run="r", blessed=False, summary={}, parts={})
    for name, told in (("nobody", "nobody"), ("new", "no champion")):
        with pytest.raises(NotFound, match=told):
            wishing.ask(name, storage)
        assert registry.wishes(name).all() == ()
