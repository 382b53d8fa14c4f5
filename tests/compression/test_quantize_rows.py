from __future__ import annotations

import numpy as np
import onnx
import pytest

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.agreement import require_agreement
from raymm.compression.quantize_rows import QuantizeRows, held
from raymm.errors import BundleError

FAMILIES = ("neighbors", "svm")
TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def case(dataset, trained):
    known = {}

    def make(task, family):
        if (task, family) not in known:
            data = dataset(task)
            known[task, family] = data, trained(data, family, rounds=1)[0]
        return known[task, family]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_files_shrink_and_predictions_hardly_move(case, task, family):
    data, bundle = case(task, family)
    tensors = data.rows(data.test)
    before = Runner(bundle).predict(tensors)
    scale = np.std(before) if task == "regression" else 1.0
    sizes = [len(bundle.to_bytes())]
    for bits, away in ((8, 0.02), (5, 0.2)):
        small = QuantizeRows().apply(bundle, {"bits": bits}, None)
        assert small.to_bytes() == QuantizeRows().apply(bundle, {"bits": bits}, None).to_bytes()
        read = Bundle.from_bytes(small.to_bytes())  # refuses what a bundle must not hold
        assert np.abs(before - Runner(read).predict(tensors)).mean() < away * scale
        assert require_agreement(read, tensors) <= 1
        sizes.append(len(small.to_bytes()))
    # Of 300 rows a table of 256 values takes nearly what it saves.
    assert sizes[0] > 1.05 * sizes[1]
    assert sizes[0] > 1.4 * sizes[2]


def test_members_of_a_mix_shrink_together_and_share_what_they_have_in_common(mix, case):
    whole, data = mix("multiclass", ("neighbors", "svm", "lightgbm"), (0.4, 0.3, 0.3), rounds=5)
    small = QuantizeRows().apply(whole, {"bits": 6}, None)
    tensors = data.rows(data.test)
    assert np.abs(Runner(whole).predict(tensors) - Runner(small).predict(tensors)).mean() < 0.05
    model = onnx.ModelProto.FromString(small.graph)
    assert not any(one.lengths for one in held(model))
    tables = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.UINT8]
    assert len(tables) == 3, "the rows of both, and the classes of the neighbours"
    assert QuantizeRows().recipes(small, None) == ()


def test_recipes_fall_and_are_for_graphs_that_compare_with_rows(case, dataset, trained):
    bits = [one["bits"] for one in QuantizeRows().recipes(case("binary", "svm")[1], None)]
    assert bits == sorted(bits, reverse=True)
    assert not QuantizeRows().bounded_moves({"bits": 8})
    trees = trained(dataset("binary"), rounds=3)[0]
    assert QuantizeRows().recipes(trees, None) == ()
    with pytest.raises(BundleError, match="compares with rows"):
        QuantizeRows().apply(trees, {"bits": 8}, None)
    for wrong in ({}, {"bits": 0}, {"bits": 9}):
        with pytest.raises(BundleError, match="1 to 8 bits"):
            QuantizeRows().apply(case("binary", "svm")[1], wrong, None)
