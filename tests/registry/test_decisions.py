from __future__ import annotations

from pathlib import Path

import pytest

from raymm.errors import RegistryError
from raymm.registry.fsck import fsck
from raymm.registry.versions import Registry


def test_decisions_are_kept_in_order_and_change_nothing_that_is_served(uri: str) -> None:
    registry = Registry(uri)
    registry.register("churn", b"b", run="r", blessed=True, summary={}, parts={})
    registry.promote("churn", 1)
    before = registry.releases("churn").changes()
    registry.decisions("churn").add("train", reason="x drifted.")
    registry.decisions("churn").add("reject", reason="not blessed", number=2)
    told = Registry(uri).decisions("churn").all()
    assert [(one.sequence, one.action, one.number, one.reason) for one in told] == [
        (1, "train", None, "x drifted."),
        (2, "reject", 2, "not blessed"),
    ]
    assert all(one.created for one in told)
    assert registry.releases("churn").changes() == before
    assert fsck(Registry(uri)) == []


def test_a_damaged_decision_is_found(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    registry.register("churn", b"b", run="r", blessed=True, summary={}, parts={})
    for reason in ("a", "b"):
        registry.decisions("churn").add("train", reason=reason)
    (tmp_path / "models/churn/decisions/00000002.json").write_bytes(b"{")
    with pytest.raises(RegistryError, match="damaged"):
        Registry(str(tmp_path)).decisions("churn").all()
    assert [one.severity for one in fsck(Registry(str(tmp_path)))] == ["error"]
    assert registry.decisions("nobody").all() == ()
