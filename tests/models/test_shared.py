from __future__ import annotations

import gc
import pickle
import weakref

import numpy as np
import pytest

from raymm.models import lightgbm, shared, xgboost
from raymm.models.family import Matrix
from raymm.models.shared import Margins, derived, reading

BOOSTERS = [lightgbm.LightGBM(), xgboost.XGBoost()]
TASKS = ["binary", "multiclass", "regression"]


@pytest.fixture(autouse=True)
def _nothing_kept():
    shared._kept.clear()
    yield
    shared._kept.clear()


class Made:
    """Something that can be counted."""


def table(rows=10, *, write=False):
    made = Matrix(x=np.zeros((rows, 2), np.float32), y=np.zeros(rows), names=("a", "b"))
    made.x.setflags(write=write)
    made.y.setflags(write=write)
    return made


def test_a_form_is_made_once_for_each_matrix_and_key():
    first, second = table(), table()
    same = Matrix(x=first.x, y=first.y, names=first.names)
    assert derived(first, "k", Made) is derived(same, "k", Made)
    assert derived(first, "k", Made) is not derived(second, "k", Made)
    assert derived(first, "k", Made) is not derived(first, "other", Made)


def test_rows_that_may_change_are_never_shared():
    open_ = table(write=True)
    assert derived(open_, "k", Made) is not derived(open_, "k", Made)
    half = Matrix(x=table().x, y=open_.y, names=("a", "b"))
    assert derived(half, "k", Made) is not derived(half, "k", Made)


@pytest.mark.slow
def test_forms_of_rows_that_are_gone_are_let_go():
    old = table()
    form = weakref.ref(derived(old, "k", Made))
    del old
    gc.collect()
    derived(table(), "k", Made)
    gc.collect()
    assert form() is None


def test_the_longest_unused_is_let_go_and_the_newest_never(monkeypatch):
    monkeypatch.setattr(shared, "BYTES", 2 * table().x.nbytes)
    tables = [table() for _ in range(3)]
    forms = [derived(one, "k", Made) for one in tables[:2]]
    assert derived(tables[0], "k", Made) is forms[0]
    newest = derived(tables[2], "k", Made)
    assert derived(tables[0], "k", Made) is forms[0]
    assert derived(tables[2], "k", Made) is newest
    assert derived(tables[1], "k", Made) is not forms[1]
    monkeypatch.setattr(shared, "BYTES", 0)
    large = table(100)
    assert derived(large, "k", Made) is derived(large, "k", Made)


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_bent_target_stays_beside_the_rows_that_are_binned_for_it(monkeypatch, share):
    train = table(100)
    monkeypatch.setattr(shared, "BYTES", int(share * train.x.nbytes))

    def bend():
        bent = train.y + 1
        bent.setflags(write=False)
        return bent

    def binned():
        bent = derived(train, "bent", bend)
        return bent, derived(Matrix(x=train.x, y=bent, names=train.names), "binned", Made)

    first, again = binned(), binned()
    assert first[0] is again[0]
    assert first[1] is again[1]
    # Another table's rows take the place of the binned ones, but not that of the target.
    other = table(100)
    derived(other, "binned", Made)
    assert binned()[0] is first[0]
    assert binned()[1] is not first[1]


def test_arrays_are_as_large_as_they_are(monkeypatch):
    tables = [table(100) for _ in range(2)]
    monkeypatch.setattr(shared, "BYTES", 3 * tables[0].x.nbytes)
    large = [derived(one, "k", lambda: np.zeros(500)) for one in tables]  # 4,000 bytes each
    assert derived(tables[1], "k", Made) is large[1]
    assert derived(tables[0], "k", Made) is not large[0]


@pytest.mark.slow
@pytest.mark.parametrize("family", BOOSTERS, ids=lambda f: f.name)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_shared_rows_is_the_model_of_its_own(matrix, fitting, graph, family, task):
    train = matrix(task)
    own = Matrix(x=train.x.copy(), y=train.y.copy(), names=train.names)
    configs = [{"learning_rate": rate, "max_bin": bins} for rate in (0.1, 0.3) for bins in (32, 63)]
    configs[1] |= {"min_child_samples": 60} if family.name == "lightgbm" else {}
    for seed, config in enumerate(configs):
        how = fitting(task, 6, seed=seed)
        common, alone = family.fit(config, train, how), family.fit(config, own, how)
        assert graph(family, common, 5) == graph(family, alone, 5)
    assert len(shared._kept) == 2, "one form for each number of bins"


@pytest.mark.parametrize("task", TASKS)
def test_training_on_from_a_state_leaves_the_shared_rows_as_they_were(matrix, fitting, graph, task):
    family, train, config = BOOSTERS[0], matrix(task), {"num_leaves": 5}
    before = graph(family, family.fit(config, train, fitting(task, 4)), 5)
    state = pickle.loads(pickle.dumps(family.state(family.fit(config, train, fitting(task, 4)))))
    family.extend(family.resume(state, config, train, fitting(task, 8)), 8)
    assert graph(family, family.fit(config, train, fitting(task, 4)), 5) == before


@pytest.mark.slow
@pytest.mark.parametrize("family", BOOSTERS, ids=lambda f: f.name)
@pytest.mark.parametrize("task", TASKS)
def test_predictions_carried_on_are_those_made_at_once(matrix, fitting, family, task):
    train, valid = matrix(task), matrix(task, rows=300, seed=1)
    model = family.fit({}, train, fitting(task, 20))
    for rounds in (20, 30, 45, 110):
        family.extend(model, rounds)
        carried = family.predict(model, valid.x)
        fresh = family.predict(model, valid.x.copy())
        # The same leaves summed in another order, in float64.
        assert np.allclose(carried, fresh, rtol=1e-12, atol=1e-12)
        assert np.array_equal(family.predict(model, valid.x), carried)
    part = family.predict(model, valid.x, 0.5)
    assert not np.array_equal(part, carried)
    assert np.allclose(part, family.predict(model, valid.x.copy(), 0.5), rtol=1e-12, atol=1e-12)


def test_margins_forget_rows_that_may_change_or_differ():
    calls = []

    def grow(start, stop, raw):
        calls.append((start, stop))
        return np.full((10, 1), float(stop)) if raw is None else raw + (stop - start)

    margins, x, other = Margins(), table().x, table().x
    assert [margins.at(x, n, grow)[0, 0] for n in (3, 5, 5)] == [3, 5, 5]
    margins.at(other, 6, grow)
    margins.at(x, 7, grow)
    assert pickle.loads(pickle.dumps(margins)).at(x, 8, grow)[0, 0] == 8
    changing = table(write=True).x
    for _ in range(2):
        margins.at(changing, 9, grow)
    assert calls == [(0, 3), (3, 5), (0, 6), (0, 7), (0, 8), (0, 9), (0, 9)]


@pytest.mark.slow
def test_a_booster_is_read_again_only_when_it_has_grown():
    booster, calls = Made(), []
    for rounds, expected in ((3, 1), (3, 1), (4, 2), (4, 2)):
        assert reading(booster, rounds, lambda: calls.append(0) or len(calls)) == expected
    ref = weakref.ref(booster)
    del booster
    gc.collect()
    assert ref() is None
