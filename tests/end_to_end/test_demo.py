"""The worked example: tuned, proven, served, watched, stopped."""

from __future__ import annotations

import pytest


@pytest.mark.ray
def test_the_demo_lives_a_whole_life_and_leaves_nothing_running(command):
    told = command.json("demo", timeout=900)
    assert {name: run["blessed"] for name, run in told["runs"].items()} == {
        "demo-iris": True,
        "demo-breast-cancer": True,
    }
    assert told["answer"]["version"] == 1
    assert told["answer"]["predictions"] in (["benign"], ["malignant"])
    assert told["monitor"]["rows"] == 1201
    assert told["monitor"]["drifted"] == ["mean radius"]
    assert not list((command.home / "services").glob("*.json"))
