from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression import members
from raymm.compression.compressor import Rows
from raymm.compression.members import Members
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

FAMILIES, WEIGHTS = ("lightgbm", "linear", "forest"), (0.5, 0.3, 0.2)


@pytest.fixture(scope="module")
def three(mix):
    bundle, data = mix("multiclass", FAMILIES, WEIGHTS, rounds=10)
    metric = metric_for("auto", data.schema.task)
    return bundle, data, Rows(tensors={}, y=data.y[:0], metric=metric)


def test_every_smaller_mix_is_offered_the_smallest_first(three):
    bundle, _, rows = three
    kept = [recipe["kept"] for recipe in Members().recipes(bundle, rows)]
    assert sorted(kept) == ["1", "1+2", "1+3", "2", "2+3", "3"]
    sizes = [len(Members().apply(bundle, {"kept": one}, rows).graph) for one in kept]
    assert kept[0] == "2"
    assert sizes == sorted(sizes)


@pytest.mark.slow
def test_what_is_foretold_is_what_the_form_says_and_the_mix_of_those_that_stay(three, mix):
    bundle, data, rows = three
    tensors = data.rows(data.test)
    answer = Members().foretold(bundle, tensors)
    for kept in ("1+3", "2"):
        form = Runner(Members().apply(bundle, {"kept": kept}, rows)).predict(tensors)
        assert np.allclose(answer({"kept": kept}), form, atol=1e-6)
        places = [int(one) - 1 for one in kept.split("+")]
        weights = np.array([WEIGHTS[one] for one in places])
        alone = [
            Runner(mix("multiclass", (FAMILIES[one],), (1.0,), rounds=10)[0]).predict(tensors)
            for one in places
        ]
        expected = sum(w * p for w, p in zip(weights / weights.sum(), alone, strict=True))
        assert np.allclose(form, expected, atol=1e-6)


def test_a_mix_that_is_pruned_as_one_ensemble_is_left_to_pruning(mix, three):
    bundle, _ = mix()
    assert Members().recipes(bundle, three[2]) == ()
    single, _ = mix("binary", ("lightgbm",), (1.0,))
    assert Members().recipes(single, three[2]) == ()


@pytest.mark.slow
def test_forests_of_more_classes_than_are_pruned_are_members(mix, three, monkeypatch):
    bundle, _ = mix("multiclass", ("forest", "extra_trees", "linear"), WEIGHTS, rounds=10)
    assert Members().recipes(bundle, three[2]) == ()
    monkeypatch.setattr(members, "WIDEST", 2)
    assert len(Members().recipes(bundle, three[2])) == 6


@pytest.mark.parametrize("kept", ["", "4", "1+1", "one"])
def test_others_than_its_members_are_refused(three, kept):
    bundle, _, rows = three
    with pytest.raises(BundleError, match="of its 3 members"):
        Members().apply(bundle, {"kept": kept}, rows)
