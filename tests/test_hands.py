"""Training a challenger and changing the release, on a real registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from raymm import lifecycle
from raymm.config import parse
from raymm.errors import NotBlessed, NotFound
from raymm.hands import RegistryHands
from raymm.monitoring.loop import Situation, Step
from raymm.registry.versions import Registry


def served(storage: Path, versions: int = 2) -> tuple[Any, RegistryHands]:
    """Register versions of a model; returns its releases and the hands that change them."""
    registry = Registry(str(storage))
    for n in range(versions):
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    hands = RegistryHands(
        name="m", storage=str(storage), source="", changes={}, share=0.1, notify=lambda _: None
    )
    return registry.releases("m"), hands


@pytest.mark.slow
def test_the_loop_of_a_registered_model(
    tmp_path: Path, searching_here: None, loans_csv: Path
) -> None:
    """A real champion, a real run on the same table with new rows, a real release."""
    config = parse({
        "name": "loans", "data": {"source": str(loans_csv), "target": "approved"},
        "search": {"trials": 2, "families": "linear"}, "storage": str(tmp_path / "home"),
        "compression": {"techniques": ["prune"]},
    })  # fmt: skip
    first = lifecycle.run(config)
    assert first.promoted
    newer = tmp_path / "newer.csv"
    pd.read_csv(loans_csv).sample(frac=0.9, random_state=0).to_csv(newer, index=False)
    hands = RegistryHands(
        name="loans", storage=config.storage, source=str(newer), changes={"search.trials": 2},
        share=0.1, notify=lambda _: None,
    )  # fmt: skip
    number, reason = hands.train("x drifted.")
    registry = Registry(config.storage)
    assert registry.champion("loans").number == first.version.number  # nothing took over by itself
    assert number is None or "roc_auc" in reason
    if number is not None:
        for action, role in (("shadow", "shadow"), ("canary", "canary"), ("reject", "")):
            hands.act(Step(action=action, reason="why", situation=Situation()), number)
            assert registry.releases("loans").current().role(number) == role
        assert registry.releases("loans").changes()[-1].who == "policy"


def test_what_a_person_tries_is_not_put_out_of_its_place(tmp_path: Path) -> None:
    releases, hands = served(tmp_path, 4)
    releases.promote(1)
    releases.canary(3, 0.2, who="somebody")
    releases.shadow(4, who="somebody")
    for action, number in (("shadow", 2), ("canary", 2), ("shadow", 3), ("canary", 4)):
        with pytest.raises(NotBlessed, match="by a person's wish"):
            hands.act(Step(action=action, reason="why", situation=Situation()), number)
    now = releases.current()
    assert (now.canary, now.share, now.shadow) == (3, 0.2, 4)
    # Nor is the champion of before, which a person lets answer a share.
    releases.end("shadow")
    releases.promote(2)
    releases.canary(1, 0.3, who="somebody")
    hands.act(Step(action="guard", reason="why", situation=Situation()), 2)
    assert (releases.current().canary, releases.current().shadow) == (1, None)


def test_a_version_that_a_person_brought_back_is_not_taken_back_again(tmp_path: Path) -> None:
    releases, hands = served(tmp_path)
    releases.promote(1)
    releases.promote(2)
    back = Step(action="rollback", reason="worse", situation=Situation())
    hands.act(back, 2)
    assert releases.current().champion == 1
    with pytest.raises(NotFound, match="no champion"):
        hands.act(back, 2)  # it reigns no more
    assert releases.current().champion == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "tried"),
    [
        ("", False),
        ("shadow reject", True),
        ("shadow canary reject", True),
        ("shadow promote back", True),
        ("shadow settle", False),  # the loop ended in its trial: nothing was found out
        ("shadow reject shadow settle", True),
    ],
)
def test_what_was_tried_and_taken_out_is_not_tried_again_on_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, tried: bool
) -> None:
    releases, hands = served(tmp_path)
    releases.promote(1)
    registry = Registry(str(tmp_path))
    run = SimpleNamespace(
        version=registry.version("m", 2), blessing=SimpleNamespace(blessed=True),
        evaluation=SimpleNamespace(score=SimpleNamespace(metric="accuracy", value=0.9)),
    )  # fmt: skip
    monkeypatch.setattr(lifecycle, "again", lambda *_: None)
    monkeypatch.setattr(lifecycle, "run", lambda *_, **__: run)
    for action in before.split():
        if action == "settle":
            hands.settle()
        elif action == "back":
            releases.rollback()
        else:
            hands.act(Step(action=action, reason="worse", situation=Situation()), 2)
    number, reason = hands.train("x drifted.")
    assert number == (None if tried else 2)
    assert ("was tried before and taken out" in reason) is tried
    if not tried:  # once it reigns there is nothing to try
        releases.promote(2)
        assert "is the champion" in hands.train("x drifted.")[1]


@pytest.mark.parametrize(("proof", "high", "tried"), [
    ("labels", 0.02, True), ("tests", 0.02, False), ("labels", -0.02, False),
])  # fmt: skip
def test_what_test_rows_leave_open_is_tried_and_tended_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof: Any, high: float, tried: bool
) -> None:
    releases, hands = served(tmp_path, 1)
    releases.promote(1)
    hands = replace(hands, proof=proof)
    registry = Registry(str(tmp_path))
    registry.register("m", b"new", run="r9", blessed=False, summary={}, parts={})
    gain = SimpleNamespace(value=-0.03, low=-0.08, high=high)
    lacking = SimpleNamespace(name="champion", passed=False, statement="not shown")
    run = SimpleNamespace(
        version=registry.version("m", 2),
        blessing=SimpleNamespace(blessed=False, checks=(lacking,)),
        evaluation=SimpleNamespace(
            score=SimpleNamespace(metric="accuracy", value=0.9), champion_gain=gain
        ),
    )  # fmt: skip
    monkeypatch.setattr(lifecycle, "again", lambda *_: None)
    monkeypatch.setattr(lifecycle, "run", lambda *_, **__: run)
    number, reason = hands.train("x drifted.")
    assert (number, "not blessed" in reason) == (2 if tried else None, True)
    assert not hands.blessed(2)
    if not tried:
        return
    for action in ("shadow", "canary", "promote", "guard"):
        hands.act(Step(action=action, reason="labels say so", situation=Situation()), 2)
    assert (releases.current().champion, releases.current().shadow) == (2, 1)
    assert releases.changes()[-2].forced  # the history says that it is not blessed
    assert releases.current().insisted  # its trial has judged how long it takes
    hands.act(Step(action="rollback", reason="worse", situation=Situation()), 2)
    assert releases.current().champion == 1
