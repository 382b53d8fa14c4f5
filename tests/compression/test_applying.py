from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from raymm.artifacts import Candidate, Frontier, Score
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.applying import applied, bounded_moves, steps
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.tap import tree_nodes
from raymm.errors import ParityError, SearchError
from raymm.evaluation.metrics import metric_for
from raymm.models.trees import TreeEnsemble
from raymm.plugins import compressors
from raymm.sections import Limits

RAISES = 1e9


class Constant(Compressor):
    """Leaves that all hold one value."""

    sizes: ClassVar[dict] = {}

    def recipes(self, bundle, rows):
        return ()

    def apply(self, bundle, recipe, rows):
        if recipe["value"] is None:
            raise SearchError("the network grew beyond bounds")
        model, (node,) = tree_nodes(bundle)
        trees = TreeEnsemble.from_node(node)
        node.CopyFrom(replace(trees, value=trees.value * 0 + recipe["value"]).to_node(node))
        return replace(bundle, graph=model.SerializeToString(deterministic=True))


def candidate(value, size, high=0.0, chosen=False, slow=0.0, gain=None, lost=0.0):
    return Candidate(
        technique="none" if value is None else "constant",
        parameters={} if value is None else {"value": None if value == RAISES else value},
        score=0.0,
        loss=Score(metric="m", value=lost, low=lost, high=max(high, lost)),
        bytes=size,
        row_microseconds=1.0,
        chosen=chosen,
        slow_microseconds=slow,
        over_control=None if gain is None else Score(metric="m", value=0.0, low=gain, high=1.0),
    )


@pytest.fixture
def case(dataset, trained, monkeypatch):
    monkeypatch.setattr(compressors, "get", lambda name: Constant)
    data = dataset("regression")
    bundle = trained(data, "lightgbm", 5)[0]
    metric = metric_for("rmse", "regression")
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)

    pack = Bundle.to_bytes

    def sized(self, **how):
        """Return a file of the size that is told of the leaves' value, where one is."""
        value = None
        if self is not bundle:
            value = float(TreeEnsemble.from_node(tree_nodes(self)[1][0]).value[0])
        return b"0" * Constant.sizes[value] if value in Constant.sizes else pack(self, **how)

    monkeypatch.setattr(Bundle, "to_bytes", sized)

    def run(*candidates, **how):
        found = Frontier(candidates=candidates, metric="m", max_loss=0.1, rows=10)
        made, after = applied(bundle, found, rows, data.rows(data.test), **how)
        run.left_out = after.left_out
        assert np.isfinite(Runner(made).predict(data.rows(data.test))).all()
        return [one.chosen for one in after.candidates], made is bundle

    return run


def test_what_was_chosen_is_taken_where_its_answers_are_finite(case):
    ways = candidate(None, 9), candidate(1.0, 5, chosen=True), candidate(2.0, 6)
    assert case(*ways) == ([False, True, False], False)


def test_else_the_next_larger_one_that_loses_as_little(case):
    nan = float("nan")
    ways = candidate(None, 9), candidate(nan, 5, chosen=True), candidate(1.0, 4)
    worse, good = candidate(1.0, 6, high=0.5), candidate(2.0, 7)
    assert case(*ways, worse, good, candidate(3.0, 8))[0] == [False] * 4 + [True, False]
    assert case(*ways, worse) == ([True, False, False, False], True)


def test_a_technique_that_raises_is_passed_over(case):
    ways = candidate(None, 9), candidate(RAISES, 5, chosen=True), candidate(1.0, 6)
    assert case(*ways)[0] == [False, False, True]
    (told,) = case.left_out
    assert told.startswith(
        "constant value=None, of the final bundle: SearchError: the network grew"
    )
    assert case(*ways[:2]) == ([True, False], True)


def test_what_is_not_proven_is_passed_over(case):
    def proven(made, way):
        if way.parameters["value"] < 2:
            raise ParityError("the graph is another")

    ways = candidate(None, 9), candidate(1.0, 5, chosen=True), candidate(2.0, 6)
    assert case(*ways, proven=proven)[0] == [False, False, True]
    assert "ParityError: the graph is another" in case.left_out[0]
    assert case(*ways[:2], proven=proven) == ([True, False], True)


@pytest.mark.slow
def test_the_next_one_keeps_the_limits_where_one_does(case):
    nan, limits = float("nan"), Limits(latency_p99_ms=0.1, bundle_mb=1.0)
    ways = candidate(None, 9, slow=500.0), candidate(nan, 5, chosen=True)
    slow, fast = candidate(1.0, 6, slow=200.0), candidate(2.0, 7, slow=100.0)
    assert case(*ways, slow, fast, limits=limits)[0] == [False, False, False, True]
    assert case(*ways, slow, fast)[0] == [False, False, True, False]
    # Where none does, any is better than one without answers, the smallest first.
    assert case(*ways, slow, limits=limits)[0] == [False, False, True]
    large = candidate(None, 2_000_000), candidate(nan, 5, chosen=True), candidate(1.0, 1_500_000)
    assert case(*large, candidate(2.0, 1_000_000), limits=limits)[0] == [False] * 3 + [True]
    # The bundle itself comes before forms that are too slow.
    within = candidate(None, 9, slow=50.0), candidate(nan, 5, chosen=True), slow
    assert case(*within, limits=limits) == ([True, False, False], True)


def test_a_final_file_beyond_the_limit_gives_way_to_smaller_forms(case, monkeypatch):
    """The probe's files are those of the candidates; the final ones are twice as large."""
    sizes = {None: 2000, 1.0: 1200, 2.0: 700, 3.0: 900, 4.0: 1600}
    monkeypatch.setattr(Constant, "sizes", sizes)
    limits = Limits(bundle_mb=0.001)
    first, large = candidate(1.0, 600, chosen=True), candidate(4.0, 800)
    small, less = candidate(2.0, 350, lost=0.3), candidate(3.0, 450, lost=0.2)
    ways = candidate(None, 1000), large, first
    assert case(*ways, small, less, limits=limits)[0] == [False] * 4 + [True]
    assert "it takes 0.0012 MB of 0.001" in case.left_out[0]
    assert len(case.left_out) == 1
    assert case(*ways, small, limits=limits)[0] == [False] * 3 + [True]
    # One that is no better than its control is no way out; of what is too large the smallest is.
    doubtful = candidate(3.0, 450, lost=0.2, gain=-0.1)
    assert case(*ways, doubtful, small, limits=limits)[0] == [False] * 4 + [True]
    assert case(*ways, doubtful, limits=limits)[0] == [False, False, True, False]
    assert len(case.left_out) == 3
    assert case(*ways, small, less)[0] == [False, False, True, False, False]


def test_the_next_one_surely_is_better_than_its_control(case):
    ways = candidate(None, 9), candidate(float("nan"), 5, chosen=True)
    doubtful, sure = candidate(1.0, 6, gain=-0.1), candidate(2.0, 7, gain=0.1)
    assert case(*ways, doubtful, sure)[0] == [False, False, False, True]
    assert case(*ways, doubtful, candidate(1.0, 6, gain=0.0)) == ([True, False, False, False], True)


def test_a_candidate_of_several_steps_names_the_parameters_of_each():
    one = candidate(1.0, 5)
    assert steps(one) == (("constant", {"value": 1.0}),)
    assert steps(candidate(None, 5)) == ()


def test_rows_stay_near_only_where_all_techniques_keep_them_near():
    score = Score(metric="m", value=0, low=0, high=0)
    whole = Candidate(
        technique="none", parameters={}, score=0, loss=score, bytes=0, row_microseconds=0
    )
    rounded, recipe = compressors.get("quantize")(), {"bits": 8, "thresholds": 0}
    assert bounded_moves(whole, rounded, recipe)
    halved = replace(whole, technique="quantize_network", parameters={"bits": 16})
    assert bounded_moves(halved, rounded, recipe)
    pruned = replace(whole, technique="prune", parameters={"size": 0.5})
    assert not bounded_moves(pruned, rounded, recipe)
    both = {"prune.size": 0.5, "quantize_network.bits": 16}
    chain = replace(whole, technique="prune+quantize_network", parameters=both)
    assert not bounded_moves(chain, rounded, recipe)
