from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle import tree_codec, tree_nodes
from raymm.bundle.tree_codec import decode, encode
from raymm.bundle.tree_nodes import Budget
from raymm.errors import BundleError
from raymm.models import lightgbm as boosting
from raymm.models import trees
from raymm.models.trees import Tree, TreeEnsemble

SEEDS = st.integers(0, 2**32 - 1)
ODD = np.array([0.0, -0.0, 1e-35, np.nan, np.inf, -np.inf, 1e-45], np.float32)


def same(first: TreeEnsemble, second: TreeEnsemble) -> bool:
    """Whether two ensembles agree in every bit."""
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            if one.dtype != other.dtype or one.tobytes() != other.tobytes():
                return False
        elif one != other or type(one) is not type(other):
            return False
    return True


def grown(random, splits, features, outputs, order, wild=False):
    """Return a random tree; ``order`` is how its nodes are numbered."""
    nodes = [[-1, -1]]
    leaves = [0]
    for _ in range(splits):
        node = leaves.pop(int(random.integers(len(leaves))))
        nodes[node] = [len(nodes), len(nodes) + 1]
        leaves += [len(nodes), len(nodes) + 1]
        nodes += [[-1, -1], [-1, -1]]
    children = np.array(nodes)
    count = len(children)
    number = np.arange(count)
    if order == "any":
        number[1:] = 1 + random.permutation(count - 1)
    if order == "preorder":
        waiting, place = [0], 0
        while waiting:
            node = waiting.pop()
            number[node], place = place, place + 1
            if children[node, 0] >= 0:
                waiting += children[node, ::-1].tolist()
    back = np.argsort(number)
    inner = children[back, 0] >= 0
    threshold = np.where(inner, random.integers(-5, 20, count) / 2, 0).astype(np.float32)
    value = random.normal(size=(count, outputs)).astype(np.float32)
    if wild:
        threshold = np.where(inner & (random.random(count) < 0.3), random.choice(ODD, count), 0)
        value[random.random(value.shape) < 0.3] = random.choice(ODD)
    return Tree(
        feature=np.where(inner, random.integers(0, features, count), -1),
        threshold=threshold.astype(np.float32),
        missing_left=inner & (random.random(count) < 0.4),
        left=np.where(inner, number[children[back, 0]], -1),
        right=np.where(inner, number[children[back, 1]], -1),
        value=value,
        outputs=tuple(range(outputs)),
    )


@st.composite
def ensembles(draw):
    random = np.random.default_rng(draw(SEEDS))
    count, splits = draw(st.integers(1, 12)), draw(st.integers(0, 12))
    outputs, features = draw(st.integers(1, 4)), draw(st.sampled_from([1, 3, 400]))
    order = draw(st.sampled_from(["any", "levels", "preorder"]))
    wild = draw(st.booleans())
    base = random.normal(size=outputs) * draw(st.integers(0, 1))
    single = draw(st.booleans())
    rounds = outputs if single else 1
    made = [
        grown(
            random,
            int(random.integers(splits + 1)),
            features,
            1 if single else outputs,
            order,
            wild,
        )
        for _ in range(count * rounds)
    ]
    if single:
        made = [
            dataclasses.replace(tree, outputs=(number % outputs,))
            for number, tree in enumerate(made)
        ]
    strict, averaged = draw(st.booleans()), draw(st.booleans())
    return trees.join(made, base, strict=strict, trees_per_round=rounds, averaged=averaged)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["any", "levels", "preorder"])
@pytest.mark.parametrize("wild", [False, True])
def test_small_ensembles_come_back_with_every_bit(order, wild):
    random = np.random.default_rng(3)
    made = [grown(random, splits, 3, 2, order, wild) for splits in (0, 7, 1, 12)]
    joined = trees.join(made, [0, 0.5], averaged=True)
    assert same(decode(encode(joined)), joined)


@pytest.mark.slow
@given(ensembles())
@settings(max_examples=25)
def test_ensembles_come_back_with_every_bit(ensemble):
    data = encode(ensemble)
    assert same(decode(data), ensemble)
    assert encode(ensemble) == data
    assert same(decode(memoryview(data)), ensemble)


@pytest.mark.slow
@given(ensembles())
@settings(max_examples=25, deadline=None)
def test_ensembles_of_any_size_are_the_same_bytes_in_machine_code(ensemble):
    pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_codec, "_fast", lambda nodes: False)
        slow = [encode(ensemble, mixed=mixed) for mixed in (False, True)]
        patch.setattr(tree_codec, "_fast", lambda nodes: True)
        assert [encode(ensemble, mixed=mixed) for mixed in (False, True)] == slow
        assert all(same(decode(data), ensemble) for data in slow)


def boosted(rows=3000, columns=8, rounds=40, leaves=31, classes=2):
    import lightgbm as lgb

    random = np.random.default_rng(0)
    x = random.normal(size=(rows, columns)).astype(np.float32)
    signal = x[:, 0] + x[:, 1] * x[:, 2] + random.normal(size=rows)
    y = np.digitize(signal, np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1]))
    parameters = {"num_leaves": leaves, "num_threads": 1, "verbosity": -1, "seed": 0}
    parameters |= {"objective": "binary"}
    if classes > 2:
        parameters |= {"objective": "multiclass", "num_class": classes}
    booster = lgb.train(parameters, lgb.Dataset(x, y), rounds)
    head = SimpleNamespace(outputs=1 if classes == 2 else classes)
    return boosting.ensemble(SimpleNamespace(booster=booster, head=head, places=()))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.long), 3])
def test_trees_of_lightgbm_take_few_bits(classes):
    ensemble = boosted(classes=classes, rounds=40 // (classes - 1))
    data = encode(ensemble)
    assert same(decode(data), ensemble)
    leaves = int((ensemble.feature < 0).sum())
    # A leaf's value has 23 bits of mantissa and some 4 of sign and size; a split 2 of topology, 2
    # of order, 3 of its feature, 8 of its threshold, and half of the 2,000 thresholds' 18.
    assert len(data) < leaves * (27 + 15 + 9) / 8
    step = np.float32(2**-9)
    # Steps of 2**-9 leave some 7 bits of a value.
    rounded = dataclasses.replace(ensemble, value=np.round(ensemble.value / step) * step)
    assert same(decode(encode(rounded)), rounded)
    assert len(encode(rounded)) < len(data) - leaves * 16 / 8


@pytest.mark.slow
def test_trees_that_are_alike_cost_little():
    """A tree tells nothing new where the one of the round before, of the same output, is it."""
    random = np.random.default_rng(0)
    pair = [grown(random, 30, 5, 1, "preorder") for _ in range(2)]
    pair = [
        dataclasses.replace(tree, outputs=(n,), value=np.sign(tree.value))
        for n, tree in enumerate(pair)
    ]
    few, many = (trees.join(pair * n, np.zeros(2), trees_per_round=2) for n in (4, 40))
    # Ten times as many nodes; what is left to pay is learning that all is as before.
    assert len(encode(many)) < 3.5 * len(encode(few))


def ensemble():
    random = np.random.default_rng(1)
    made = [grown(random, 9, 5, 1, "any") for _ in range(9)]
    return trees.join(made, np.zeros(1))


def plain(made):
    """Return the bytes of an ensemble that mixtures tell nothing of, as version 2 had them."""
    return encode(made, mixed=False)


SMALL, PLAIN = encode(ensemble()), plain(ensemble())


@pytest.mark.slow
@given(ensembles())
@settings(max_examples=50)
def test_ensembles_without_mixtures_come_back_with_every_bit(ensemble):
    assert same(decode(plain(ensemble)), ensemble)


@pytest.mark.slow
def test_mixtures_make_fewer_bytes_and_are_bounded(monkeypatch):
    made = boosted()
    data, before = encode(made), plain(made)
    assert len(data) < 0.99 * len(before)
    assert same(decode(before), made)
    monkeypatch.setattr(tree_codec, "MIXED_NODES", len(made.feature) - 1)
    assert encode(made) == before
    # What writers make says nothing of what readers take.
    monkeypatch.setattr(tree_codec, "MIXED_NODES", 0)
    assert same(decode(data), made)


@pytest.mark.slow
def test_a_file_holds_so_many_nodes_that_mixtures_tell():
    made = boosted()
    data, budget = encode(made), Budget(mixed=2 * len(made.feature))
    for _ in range(2):
        decode(data, budget)
    with pytest.raises(BundleError, match="that mixtures tell"):
        decode(data, budget)
    assert same(decode(plain(made), budget), made)


@pytest.mark.slow
def test_mixtures_that_would_tell_many_nodes_by_a_byte_are_not_written(monkeypatch):
    made = boosted()
    data = encode(made)
    monkeypatch.setattr(tree_codec, "_MIXED_DENSITY", len(made.feature) / len(data) / 2)
    assert encode(made) == plain(made)
    with pytest.raises(BundleError, match="must have fewer than"):
        decode(data)


def test_machine_code_is_loaded_for_large_ensembles_and_for_several(monkeypatch):
    monkeypatch.setattr(tree_codec, "_coded", itertools.count(1))
    asked = [tree_codec._fast(nodes) for nodes in (1, 50_000, 1, 1)]
    assert asked == [False, True, True, True]
    monkeypatch.setattr(tree_codec, "_coded", itertools.count(1))
    used, writer = [], tree_codec.Writer

    def counted(lanes, *, fast):
        used.append(fast)
        return writer(lanes, fast=fast)

    monkeypatch.setattr(tree_codec, "Writer", counted)
    made = boosted(rounds=1, leaves=4)
    assert len({encode(made) for _ in range(4)}) == 1
    assert used == [False, False, True, True]


def either(data):
    """Read bytes with and without machine code, which must come to the same."""
    made = []
    for fast in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tree_codec, "_fast", lambda nodes, fast=fast: fast)
            try:
                made.append(decode(data))
            except BundleError as error:
                made.append(error)
    one, other = made
    assert type(one) is type(other)
    if isinstance(one, BundleError):
        assert str(one) == str(other)
        raise one
    assert same(one, other)
    return one


@pytest.mark.slow
@given(st.data())
@settings(max_examples=120, deadline=None)
def test_hostile_bytes_are_an_error_or_an_ensemble(data):
    whole = data.draw(st.sampled_from([SMALL, PLAIN]))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(30, len(whole) - 1)) | st.integers(0, len(whole) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)) | st.just(len(whole)))
    with contextlib.suppress(BundleError):
        made = either(bytes(changed[:cut]))
        inner = made.feature >= 0
        assert (made.left[inner] > 0).all()
        assert (made.right[inner] < len(inner)).all()
        assert len(inner) <= 64 * len(whole)


@pytest.mark.slow
@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_other_bytes_are_an_error(data):
    with contextlib.suppress(BundleError):
        either(data)


def test_few_bytes_cannot_ask_for_much_memory():
    head = [tree_nodes.LARGEST_NODES, 1, 1, 1, 1, 1, 0, 1]
    data = b"".join(map(tree_codec._varint, head)) + bytes(2000)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="nodes"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"left": np.full(19, 0)},
        {"left": np.full(19, 18)},
        {"right": np.full(19, 99)},
        {"threshold": np.ones(19, np.float32)},
        {"missing_left": np.ones(19, bool)},
        {"leaf": np.zeros(10, np.int64)},
        {"output": np.full(10, 3)},
        {"trees_per_round": 0},
        {"base": np.zeros(0, np.float32)},
    ],
)
def test_what_is_no_ensemble_of_trees_is_refused(change):
    made = trees.join([grown(np.random.default_rng(0), 9, 5, 1, "levels")], np.zeros(1))
    encode(made)
    with pytest.raises(ValueError, match="ensemble"):
        encode(dataclasses.replace(made, **change))


def test_deep_trees_are_refused():
    count = 2 * 300 + 1
    inner = np.arange(count) % 2 == 0
    inner[-1] = False
    chain = Tree(
        feature=np.where(inner, 0, -1),
        threshold=np.zeros(count, np.float32),
        missing_left=np.zeros(count, bool),
        left=np.where(inner, np.arange(count) + 1, -1),
        right=np.where(inner, np.arange(count) + 2, -1),
        value=np.ones((count, 1), np.float32),
    )
    with pytest.raises(ValueError, match="at most 256 levels"):
        encode(trees.join([chain], np.zeros(1)))


def test_a_constant_is_an_ensemble_too():
    leaf = grown(np.random.default_rng(0), 0, 1, 1, "levels")
    made = trees.join([leaf], np.zeros(1))
    assert same(decode(encode(made)), made)
