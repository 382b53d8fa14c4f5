"""The registry as replicas see it."""

from __future__ import annotations

import json
import pickle

import jsonschema
import numpy as np
import pytest

from raymm.artifacts import Predictions, Reliability, as_record
from raymm.errors import RegistryError
from raymm.lease import Lease, shared
from raymm.monitoring.predictions import bins_of
from raymm.registry.store import blob_path
from raymm.registry.versions import Registry
from raymm.serving.overview_openapi import HISTORY
from raymm.shelf import PREDICTIONS, RELIABILITY, RegistryShelf


def made(uri):
    registry = Registry(uri)
    for n in (1, 2):
        registry.register("churn", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    return registry.releases("churn")


def test_it_follows_the_registry(tmp_path):
    releases = made(str(tmp_path))
    shelf = pickle.loads(pickle.dumps(RegistryShelf(storage=str(tmp_path))))
    assert shelf.look("churn").champion is None
    releases.promote(1)
    releases.promote(2)
    assert shelf.look("churn") == releases.current()
    assert shelf.fetch("churn", 2) == b"2"
    shelf.refuse("churn", 2, since=2, reason="not finite")
    assert shelf.look("churn").champion == 1
    assert releases.changes()[-1].reason == "not finite"


def test_without_the_policy_nothing_is_taken_out(tmp_path):
    releases = made(str(tmp_path))
    releases.promote(1)
    releases.promote(2)
    RegistryShelf(storage=str(tmp_path), policy=False).refuse("churn", 2, since=2, reason="bad")
    assert releases.current().champion == 2


def test_a_damaged_bundle_is_not_handed_out(tmp_path):
    releases = made(str(tmp_path))
    releases.promote(1)
    bundle = Registry(str(tmp_path)).version("churn", 1).bundle
    (tmp_path / blob_path(bundle)).write_bytes(b"9")
    with pytest.raises(RegistryError, match="damaged"):
        RegistryShelf(storage=str(tmp_path)).fetch("churn", 1)


def test_how_often_probabilities_came_true_is_handed_out_where_it_is_known(tmp_path):
    registry, known = Registry(str(tmp_path)), Reliability(rows=(3, 4), hits=(1, 4))
    for part in ("", json.dumps(as_record(known)), "no JSON", '{"rows": 3}'):
        parts = {RELIABILITY: part.encode()} if part else {}
        data = part.encode() or b"1"
        registry.register("churn", data, run="r", blessed=True, summary={}, parts=parts)
    shelf = RegistryShelf(storage=str(tmp_path))
    numbers = [one.number for one in registry.versions("churn")]
    assert [shelf.reliability("churn", number) for number in numbers[:2]] == [None, known]
    assert not any(shelf.reliability("churn", number) for number in (*numbers[2:], 99))


def test_what_was_predicted_on_test_rows_is_handed_out_where_it_is_known(tmp_path):
    registry = Registry(str(tmp_path))
    known = Predictions(column=bins_of(np.arange(30.0)))
    newer = as_record(known) | {"version": 2}
    for part in ("", json.dumps(as_record(known)), "no JSON", json.dumps(newer)):
        parts = {PREDICTIONS: part.encode()} if part else {}
        data = part.encode() or b"1"
        registry.register("churn", data, run="r", blessed=True, summary={}, parts=parts)
    shelf = RegistryShelf(storage=str(tmp_path))
    numbers = [one.number for one in registry.versions("churn")]
    assert [shelf.predictions("churn", number) for number in numbers] == [None, known, None, None]
    assert shelf.predictions("churn", 99) is None


def test_the_history_is_told_newest_first_and_in_plain_values(tmp_path):
    registry = Registry(str(tmp_path))
    summary = {"metric": "rmse", "score": 1.5, "best": {"family": "linear"}, "settings": {"a": 1}}
    for n in (1, 2, 3):
        registry.register("churn", b"%d" % n, run="r", blessed=n < 3, summary=summary, parts={})
    registry.promote("churn", 1, reason="first")
    registry.promote("churn", 2, reason="better")
    registry.rollback("churn", reason="worse")
    told = json.loads(json.dumps(RegistryShelf(storage=str(tmp_path)).history("churn")))
    assert [one["number"] for one in told["versions"]] == [3, 2, 1]
    newest = told["versions"][0]
    assert (newest["blessed"], newest["bytes"], newest["family"]) == (False, 1, "linear")
    assert (newest["metric"], newest["score"], newest["score_low"]) == ("rmse", 1.5, None)
    assert "settings" not in newest
    jsonschema.validate({"model": "churn", **told}, HISTORY)
    assert [(one["action"], one["number"], one["reason"]) for one in told["changes"]] == [
        ("rollback", 1, "worse"), ("promote", 2, "better"), ("promote", 1, "first"),
    ]  # fmt: skip


def test_whose_score_it_is_is_told(refitted):
    told = RegistryShelf(storage=str(refitted.home)).history("loans")
    newest, before, _ = told["versions"]
    assert (newest["refit"], newest["proven_bundle"]) == ("all", refitted.before.version.bundle)
    assert newest["score"] == before["score"]
    assert "trained without the test rows" in newest["score_of"]
    jsonschema.validate({"model": "loans", **told}, HISTORY)


def test_a_long_history_is_told_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr("raymm.shelf.MOST_TOLD", 2)
    registry = Registry(str(tmp_path))
    for n in (1, 2, 3):
        registry.register("churn", b"%d" % n, run="r", blessed=True, summary={}, parts={})
        registry.promote("churn", n)
    told = RegistryShelf(storage=str(tmp_path)).history("churn")
    assert [one["number"] for one in told["versions"]] == [3, 2]
    assert [one["sequence"] for one in told["changes"]] == [3, 2]


def test_who_keeps_a_model_is_told_with_the_steps_taken(tmp_path):
    storage = str(tmp_path)
    made(storage).promote(1)
    decisions = Registry(storage).decisions("churn")
    decisions.add("train", reason="age drifted")
    decisions.add("reject", reason="no better", number=2)
    lease = Lease(shared("churn", storage, "lease"), home="a", told="ann@desk", wait=lambda _: None)
    shelf = RegistryShelf(storage=storage)
    for act, keeper in ((lambda: None, None), (lease.take, "ann@desk"), (lease.leave, None)):
        act()
        told = json.loads(json.dumps(shelf.history("churn")))
        assert told["keeper"] == keeper
    assert [(one["action"], one["number"], one["reason"]) for one in told["steps"]] == [
        ("reject", 2, "no better"), ("train", None, "age drifted"),
    ]  # fmt: skip
    jsonschema.validate({"model": "churn", **told}, HISTORY)
