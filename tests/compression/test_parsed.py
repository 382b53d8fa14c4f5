from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np

from raymm.compression import parsed
from raymm.compression.parsed import model_of, runner_of
from raymm.compression.tap import tree_nodes


def test_a_graph_is_parsed_once_and_stays_as_it_is(dataset, trained):
    bundle, _ = trained(dataset("binary"), rounds=3)
    known = model_of(bundle)
    assert model_of(replace(bundle, graph=bytes(bytearray(bundle.graph)))) is known
    own, (node,) = tree_nodes(bundle)
    node.ClearField("attribute")
    assert own.SerializeToString(deterministic=True) != bundle.graph
    assert known.SerializeToString(deterministic=True) == bundle.graph


def test_only_some_graphs_are_remembered(dataset, trained, monkeypatch):
    bundles = [trained(dataset("binary"), rounds=count)[0] for count in (3, 4, 5)]
    first = model_of(bundles[0])
    for bundle in bundles[1:]:
        model_of(bundle)
    assert model_of(bundles[0]) is not first
    assert len(parsed._models) <= 2
    # What was asked for last stays.
    last = model_of(bundles[2])
    model_of(bundles[1])
    assert model_of(bundles[2]) is last
    parsed.forget()
    assert not parsed._models
    monkeypatch.setattr(parsed, "_LARGEST", 10)
    parsed._models.clear()
    assert model_of(bundles[1]) is not model_of(bundles[1])


def test_a_bundle_is_loaded_once_for_all_that_hold_it(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data, rounds=3)
    runner = runner_of(bundle)
    assert runner_of(bundle) is runner
    columns = tuple(reversed(bundle.schema.columns))
    other = runner_of(replace(bundle, schema=replace(bundle.schema, columns=columns)))
    assert other is not runner
    tensors = data.rows(data.test)
    assert np.array_equal(other.predict(tensors), runner.predict(tensors))
    del runner, other
    gc.collect()
    assert bundle.graph not in parsed._runners
