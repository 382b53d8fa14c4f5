from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle import heap
from raymm.bundle.run import Runner
from raymm.compression import frontier, judging, trying
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.quantize import RECIPES
from raymm.compression.tap import tree_nodes
from raymm.errors import ConfigError
from raymm.evaluation.metrics import metric_for
from raymm.models.trees import TreeEnsemble
from raymm.plugins import compressors
from raymm.sections import Limits

BOTH = ("prune", "truncate")
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def rows_of(data):
    metric = metric_for(METRICS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(judging, "TIMED_CALLS", 20)


@pytest.fixture(scope="module")
def explored(dataset, trained):
    """Return the bundle, validation rows and a function that explores it."""

    def make(task, metric=None, max_loss=0.05, techniques=BOTH, seed=0, rounds=20, **how):
        data = dataset(task)
        bundle, _ = trained(data, rounds=rounds)
        tensors, y = data.rows(data.test), data.y[data.test]
        metric = metric or metric_for(METRICS[task], task)
        found = frontier.explore(
            bundle,
            techniques,
            trained=rows_of(data),
            tensors=tensors,
            y=y,
            metric=metric,
            max_loss=max_loss,
            seed=seed,
            **how,
        )
        return found, bundle, tensors, y, metric, rows_of(data)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["binary", "regression", pytest.param("multiclass", marks=pytest.mark.long)]
)
def test_candidates_hold_what_can_be_measured_again(explored, task):
    found, bundle, tensors, y, metric, trained = explored(task, techniques="auto", rounds=10)
    whole = found.candidates[0]
    assert (whole.technique, whole.loss.value, whole.loss.low, whole.loss.high) == ("none", 0, 0, 0)
    assert found.rows == len(y)
    sign = 1 if metric.direction == "maximize" else -1
    for candidate in found.candidates:
        form = frontier.apply(bundle, candidate, trained)
        score = metric(y, Runner(form).predict(tensors))
        assert candidate.score == pytest.approx(score, rel=1e-9)
        assert candidate.loss.value == pytest.approx(sign * (whole.score - score), abs=1e-9)
        assert candidate.bytes == len(form.to_bytes())
        assert 0 < candidate.row_microseconds <= candidate.slow_microseconds
        assert candidate.row_microseconds < candidate.thousand_microseconds
        assert candidate.graph_bytes == len(form.graph)
        assert (candidate.heap_bytes > candidate.graph_bytes / 4) == (heap.held() is not None)
        assert candidate.loss.low <= candidate.loss.high


@pytest.mark.slow
@pytest.mark.parametrize("max_loss", [0.0, 0.05, 10.0])
@pytest.mark.parametrize(
    "task", ["binary", "regression", pytest.param("multiclass", marks=pytest.mark.slow)]
)
def test_the_smallest_within_the_allowed_loss_is_chosen(explored, task, max_loss):
    found, *_, metric, _ = explored(task, max_loss=max_loss)
    # log_loss and rmse have no scale of their own: there the loss is a share of the value.
    allowed = max_loss * (1 if metric.name == "roc_auc" else abs(found.candidates[0].score))
    good = [
        c
        for c in found.candidates
        if c.technique == "none" or max(c.loss.high, c.loss.value) <= allowed
    ]
    (chosen,) = [c for c in found.candidates if c.chosen]
    assert chosen.bytes == min(c.bytes for c in good)
    if max_loss == 10.0:
        assert chosen.bytes == min(c.bytes for c in found.candidates)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_choice_whatever_the_clock_says(explored, monkeypatch):
    first = explored("binary", seed=4)[0]
    ticks = iter(range(0, 10**12, 10**6))
    monkeypatch.setattr(judging.time, "perf_counter_ns", lambda: next(ticks) ** 2 % 10**9)
    second = explored("binary", seed=4)[0]
    untold = dict.fromkeys(("row_microseconds", "slow_microseconds", "thousand_microseconds"), 0.0)
    timeless = [
        [replace(c, heap_bytes=0, **untold) for c in found.candidates] for found in (first, second)
    ]
    assert timeless[0] == timeless[1]


class WrongClass:
    """A metric of the user's own, as bare as the protocol allows; smaller is better."""

    name = "wrong"
    direction = "minimize"

    def __call__(self, truth, prediction):
        return float(np.mean(prediction.argmax(axis=1) != truth))


class Undefined(WrongClass):
    def __call__(self, truth, prediction):
        return float("nan")


@pytest.mark.slow
def test_a_metric_needs_no_more_than_the_protocol(explored):
    found, *_ = explored("binary", metric=WrongClass(), max_loss=1.0)
    assert found.metric == "wrong"
    assert [c.chosen for c in found.candidates].index(True) > 0


@pytest.mark.slow
def test_a_metric_that_says_nothing_keeps_the_bundle(explored):
    found, *_ = explored("binary", metric=Undefined(), max_loss=1.0)
    assert found.candidates[0].chosen


@pytest.mark.slow
def test_at_most_the_limit_of_rows_is_scored(explored, monkeypatch):
    monkeypatch.setattr(frontier, "ROWS", 100)
    found, *_ = explored("binary")
    assert found.rows == 100


def test_without_techniques_the_bundle_stays(explored):
    found, bundle, *_, trained = explored("binary", techniques=())
    assert len(found.candidates) == 1
    assert found.candidates[0].chosen
    assert frontier.apply(bundle, found.candidates[0], trained) is bundle


def test_an_unknown_technique_is_named(explored):
    with pytest.raises(ConfigError, match=r'compressor "trunkate" is not known. Did you mean'):
        explored("binary", techniques=("trunkate",))


class Rounded(Compressor):
    """Rounds leaves to so many digits."""

    def recipes(self, bundle, rows):
        return [{"digits": digits} for digits in (4, 3, 2, 1, 0)]

    def apply(self, bundle, recipe, rows):
        model, nodes = tree_nodes(bundle)
        for node in nodes:
            trees = TreeEnsemble.from_node(node)
            value = np.round(trees.value, recipe["digits"])
            node.CopyFrom(replace(trees, value=value).to_node(node))
        return replace(bundle, graph=model.SerializeToString(deterministic=True))


@pytest.fixture
def rounding(monkeypatch):
    """Add a technique that follows others."""
    get, name = compressors.get, "quantize_leaves"
    monkeypatch.setattr(compressors, "get", lambda n: Rounded if n == name else get(n))
    return name


@pytest.mark.slow
@pytest.mark.parametrize("max_loss", [pytest.param(0.003, marks=pytest.mark.long), 0.02, 10.0])
def test_what_follows_is_tried_on_the_smallest_that_is_good(explored, rounding, max_loss):
    names = (*BOTH, rounding)
    found, bundle, *_, trained = explored(
        "regression", max_loss=max_loss, rounds=60, techniques=names
    )
    allowed = max_loss * abs(found.candidates[0].score)

    def good(one):
        return one.technique == "none" or max(one.loss.high, one.loss.value) <= allowed

    singles = [one for one in found.candidates if rounding not in one.technique]
    base = min((one for one in singles if good(one)), key=lambda one: one.bytes)
    after = [one for one in found.candidates if one.technique.endswith("+" + rounding)]
    # A form that is good alone may be none beside all others.
    assert after or base.technique == "none"
    if base.technique != "none":
        assert frontier.steps(base)[0] in [frontier.steps(one)[0] for one in after]
    # From the middle on they are coarser while good, or finer until one is.
    for base_of in {tuple(map(str, frontier.steps(one)[:-1])) for one in after}:
        chain = [c for c in after if tuple(map(str, frontier.steps(c)[:-1])) == base_of]
        well = {frontier.steps(c)[-1][1]["digits"]: good(c) for c in chain}
        order = [2, 1, 0] if well[2] else [2, 3, 4]
        tried = [digits for digits in order if digits in well]
        assert tried == order[: len(well)]
        assert all(well[digits] == well[2] for digits in tried[:-1])
    for one in after:
        (name, recipe), (_, rounded) = frontier.steps(one)
        form = compressors.get(name)().apply(bundle, recipe, trained)
        form = Rounded().apply(form, rounded, trained)
        assert frontier.apply(bundle, one, trained).graph == form.graph
        assert len(form.to_bytes()) == one.bytes


@pytest.mark.slow
def test_the_bundle_itself_is_followed_in_any_case(explored, rounding):
    found, *_ = explored("binary", techniques=(rounding,), max_loss=10.0)
    alone = [one for one in found.candidates if one.technique == rounding]
    assert [one.parameters for one in alone] == [{"digits": n} for n in (2, 1, 0)]


class Same(Compressor):
    """Changes answers by so little, in a part of the graph that no row's label depends on."""

    near = True

    def recipes(self, bundle, rows):
        return [{"share": 1.0}, {"share": 1.0001}]

    def bounded_moves(self, recipe):
        return self.near

    def apply(self, bundle, recipe, rows):
        model, (node,) = tree_nodes(bundle)
        trees = TreeEnsemble.from_node(node)
        node.CopyFrom(replace(trees, value=trees.value * recipe["share"]).to_node(node))
        return replace(bundle, graph=model.SerializeToString(deterministic=True))


@pytest.mark.slow
@pytest.mark.parametrize(("bounded", "near"), [(True, True), (True, False), (False, True)])
def test_where_nothing_was_lost_something_may_be_unless_answers_are_the_same(
    explored, monkeypatch, bounded, near
):
    monkeypatch.setattr(compressors, "get", lambda name: Same)
    monkeypatch.setattr(Same, "near", near)
    monkeypatch.setattr(WrongClass, "bounded", bounded, raising=False)
    found, *_ = explored("binary", metric=WrongClass(), techniques=("same",))
    rows = found.rows
    by_share = {one.parameters.get("share"): one.loss for one in found.candidates}
    assert {loss.value for loss in by_share.values()} == {0.0}
    assert by_share[1.0].high == 0.0
    # Answers many times as far away would lose nothing either, which says little where rows may
    # move far.
    told = np.log(20) / rows / (max(judging.FARTHER) if near else 1)
    assert by_share[1.0001].high == pytest.approx(told if bounded else 0.0)


@pytest.mark.slow
def test_after_a_short_search_fewer_forms_of_large_bundles_are_measured(explored, monkeypatch):
    whole = explored("binary")[0].candidates
    assert explored("binary", seconds=1e6)[0].candidates[1].bytes == whole[1].bytes
    monkeypatch.setattr(frontier, "SECONDS", (1e6, 1.0))
    few = explored("binary", seconds=60.0)[0].candidates

    def of(candidates, name):
        return sorted((str(c.parameters) for c in candidates if c.technique == name), reverse=True)

    for name in ("truncate", "prune"):
        every = of(whole, name)
        assert len(every) > frontier.LEAST == len(of(few, name))
        # The largest and the smallest stay.
        assert of(few, name) == [every[0], every[-1]]


@pytest.mark.slow
def test_a_limit_of_the_file_wins_over_the_loss(explored):
    free = explored("regression", techniques=("truncate",), max_loss=0.0)[0]
    assert free.candidates[0].chosen
    sizes = sorted(one.bytes for one in free.candidates)
    limit = Limits(bundle_mb=sizes[2] / 1e6)
    found = explored("regression", techniques=("truncate",), max_loss=0.0, limits=limit)[0]
    within = [one for one in found.candidates if one.bytes <= sizes[2]]
    (chosen,) = [one for one in found.candidates if one.chosen]
    assert chosen.loss.value == min(one.loss.value for one in within)
    nothing = explored(
        "regression", techniques=("truncate",), max_loss=0.0, limits=Limits(bundle_mb=1e-6)
    )[0]
    assert nothing.candidates[0].chosen


@pytest.mark.slow
def test_a_limit_of_time_is_kept_where_a_form_is_fast_enough(explored, monkeypatch):
    times = iter(range(1, 100))
    monkeypatch.setattr(judging, "times", lambda *_: (1.0, 1000.0 / next(times), 1.0))
    found = explored("binary", max_loss=0.0, limits=Limits(latency_p99_ms=0.3))[0]
    (chosen,) = [one for one in found.candidates if one.chosen]
    assert chosen.slow_microseconds <= 300 < found.candidates[0].slow_microseconds


@pytest.mark.long
def test_what_is_not_good_beside_all_others_holds_nothing_back(explored, monkeypatch):
    def quantized(found):
        return sum(one.technique == "quantize" for one in found.candidates)

    both = ("prune", "quantize")
    before = explored("binary", techniques=both, max_loss=0.5)[0]
    assert any(one.technique == "prune+quantize" for one in before.candidates)
    assert quantized(before) == 1
    together = judging.Judge.together

    def doubtful(self, forms, unmade=()):
        return tuple(
            replace(one, loss=replace(one.loss, high=9.0)) if "+" in one.technique else one
            for one in together(self, forms, unmade)
        )

    monkeypatch.setattr(judging.Judge, "together", doubtful)
    after = explored("binary", techniques=both, max_loss=0.5)[0]
    assert quantized(after) == len(RECIPES) - len(RECIPES) // 2


class Silent(Compressor):
    """Forms of which the smallest answer what is not finite."""

    def recipes(self, bundle, rows):
        return [{"value": 1.0}, {"value": float("nan")}]

    def apply(self, bundle, recipe, rows):
        model, (node,) = tree_nodes(bundle)
        trees = TreeEnsemble.from_node(node)
        node.CopyFrom(replace(trees, value=trees.value * 0 + recipe["value"]).to_node(node))
        return replace(bundle, graph=model.SerializeToString(deterministic=True))


@pytest.mark.slow
def test_a_form_without_finite_answers_is_never_chosen(explored, monkeypatch):
    monkeypatch.setattr(compressors, "get", lambda name: Silent)
    limits = Limits(bundle_mb=1e-6)
    tight = explored("regression", techniques=("silent",), limits=limits)[0]
    assert tight.candidates[0].chosen


def test_what_is_too_bad_beside_the_metric_is_not_chosen_and_told(explored):
    first = explored("binary", techniques=("truncate",))[0]
    (chosen,) = [one for one in first.candidates if one.chosen]
    assert chosen.technique == "truncate"
    given = []

    def beside(made, whole, y):
        given.append((made, whole, y))
        return "it is no good" if len(given) == 1 else ""

    found, bundle, tensors, y, *_ = explored("binary", techniques=("truncate",), beside=beside)
    told = f"truncate keep={found.candidates[1].parameters['keep']}: measured, but it is no good"
    assert told in found.left_out
    assert not found.candidates[1].chosen
    assert len(given) == len(found.candidates) - 1
    assert np.array_equal(given[0][1], Runner(bundle).predict(tensors))
    assert np.array_equal(given[0][2], y)
    none = explored("binary", techniques=("truncate",), beside=lambda *_: "no")[0]
    assert none.candidates[0].chosen


class Losing(Compressor):
    """Adds noise to leaves, the more the fewer the nodes are said to be."""

    def recipes(self, bundle, rows):
        return [{"size": size} for size in (0.5, 0.1, 0.01)]

    def between(self, good, bad):
        return {"size": ((good or {"size": 1.0})["size"] * bad["size"]) ** 0.5}

    def apply(self, bundle, recipe, rows):
        model, (node,) = tree_nodes(bundle)
        trees = TreeEnsemble.from_node(node)
        noise = np.random.default_rng(0).normal(size=trees.value.shape) / recipe["size"]
        node.CopyFrom(replace(trees, value=trees.value + 0.05 * noise).to_node(node))
        return replace(bundle, graph=model.SerializeToString(deterministic=True))


@pytest.mark.slow
@pytest.mark.parametrize("max_loss", [0.03, 0.2])
def test_sizes_between_the_last_good_one_and_the_next_are_tried(explored, monkeypatch, max_loss):
    monkeypatch.setattr(compressors, "get", lambda name: Losing)
    found, *_ = explored("binary", techniques=("losing",), max_loss=max_loss)
    sizes = {one.parameters["size"]: one.loss for one in found.candidates[1:]}
    falling = sorted(sizes, reverse=True)
    assert 0.5 in falling
    between = [size for size in falling if size not in (0.5, 0.1, 0.01)]
    assert 0 < len(between) <= trying.BISECTED
    # Each lies between one that was good alone and the next smaller one that was tried.
    for size in between:
        assert any(other < size for other in falling)
    assert 0.01 not in falling or 0.1 in falling


@pytest.mark.slow
def test_others_are_tried_on_a_mix_of_fewer_members(mix, monkeypatch):
    bundle, data = mix("multiclass", ("lightgbm", "xgboost", "forest"), (0.6, 0.2, 0.2), rounds=10)
    metric = metric_for("log_loss", "multiclass")
    found = frontier.explore(
        bundle,
        ("members", "truncate"),
        trained=rows_of(data),
        tensors=data.rows(data.test),
        y=data.y[data.test],
        metric=metric,
        max_loss=0.2,
        seed=0,
    )
    (opened,) = [one for one in found.candidates if one.technique == "members"]
    assert opened.loss.value <= trying.OPENING * 0.2 * found.candidates[0].score
    others = [one for one in found.candidates if one.technique not in ("none", "members")]
    assert others
    for one in others:
        steps = frontier.steps(one)
        assert [name for name, _ in steps] == ["members", "truncate"]
        assert steps[0][1] == opened.parameters
        form = frontier.apply(bundle, one, rows_of(data))
        assert len(form.to_bytes()) == one.bytes


def test_three_techniques_keep_their_parameters_apart():
    from raymm.artifacts import Candidate, Score

    score = Score(metric="m", value=0, low=0, high=0)
    first = Candidate(
        technique="none", parameters={}, score=0, loss=score, bytes=0, row_microseconds=0
    )
    recipes = (("members", {"kept": "1"}), ("prune", {"size": 0.1}), ("quantize", {"bits": 8}))
    for name, recipe in recipes:
        technique, parameters = frontier.joined_recipe(first, name, recipe)
        first = replace(first, technique=technique, parameters=parameters)
    assert frontier.steps(first) == recipes


class Faulty(Losing):
    """A technique, and one that follows others, of which one form cannot be made."""

    def recipes(self, bundle, rows):
        if self.broken is None:
            raise ValueError("no recipe")
        return [{"size": size} for size in (2.0, 1.5, 1.2)]

    def between(self, good, bad):
        return None

    def apply(self, bundle, recipe, rows):
        if recipe["size"] in self.broken:
            raise RuntimeError("a library gave up")
        return super().apply(bundle, recipe, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["faulty", "quantize_faulty"])
@pytest.mark.parametrize("broken", [(2.0,), (1.5,), (2.0, 1.5, 1.2), None])
def test_a_technique_that_raises_leaves_the_others_their_place(explored, monkeypatch, name, broken):
    get = compressors.get
    monkeypatch.setattr(compressors, "get", lambda n: Faulty if n == name else get(n))
    monkeypatch.setattr(Faulty, "broken", broken, raising=False)
    found, *_ = explored("binary", techniques=("truncate", name), max_loss=0.5, rounds=10)
    made = {one.parameters.get("size") for one in found.candidates if one.technique == name}
    assert {one.technique for one in found.candidates} >= {"none", "truncate"}
    assert not made & set(broken or made)
    # The finest of one that follows others is not tried where coarser ones are good.
    tried = broken is not None and (name, broken) != ("quantize_faulty", (2.0,))
    assert any("RuntimeError: a library gave up" in one for one in found.left_out) == tried
    assert broken or any("ValueError: no recipe" in one for one in found.left_out)
    if broken == (2.0,) and name == "faulty":
        assert made == {1.5, 1.2}
