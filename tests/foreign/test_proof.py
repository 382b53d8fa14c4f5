"""What is chosen of a model from elsewhere is proven by rows that chose nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from raymm.compression import frontier as compressing
from raymm.compression.compressor import Rows
from raymm.data import ingest
from raymm.errors import ParityError
from raymm.evaluation.metrics import metric_for
from raymm.foreign import proof
from raymm.foreign.bundling import bundle_of, compress, dataset_of
from raymm.foreign.proof import FEWEST, Parts, prove
from raymm.foreign.reading import read
from tests.foreign.conftest import table

pytestmark = pytest.mark.slow


@pytest.fixture
def explored(make):
    """The forms of a regression that plain truncation makes, of which a tenth may be lost."""
    made = make("regression")
    foreign = read(str(made.path))
    data, _ = dataset_of(foreign, ingest.from_frame(table("regression", 2400)), "y", seed=0)
    full, _ = bundle_of(foreign, data)
    parts, metric = Parts.of(data), metric_for("auto", "regression")
    fitted = Rows(tensors=data.rows(parts.fit), y=data.y[parts.fit], metric=metric, seed=0)
    found = compressing.explore(
        full,
        ["truncate"],
        trained=fitted,
        tensors=data.rows(parts.judge),
        y=data.y[parts.judge],
        metric=metric,
        max_loss=0.5,
        seed=0,
    )
    return data, parts, found, lambda form: compressing.apply(full, form, fitted)


@pytest.fixture
def proven(explored):
    data, parts, _, make = explored
    return partial(prove, data, parts, make=make, metric=metric_for("auto", "regression"), seed=0)


def chosen(found):
    return next(one for one in found.candidates if one.chosen)


def allowing(found, loss, index=None):
    """The same forms where less may be lost, and one of them is chosen all the same."""
    if index is None:
        return replace(found, max_loss=loss)
    forms = [replace(one, chosen=place == index) for place, one in enumerate(found.candidates)]
    return replace(found, max_loss=loss, candidates=tuple(forms))


def test_the_rows_of_the_proof_are_of_no_other_part(explored):
    data, parts, _, _ = explored
    told = [set(map(int, one)) for one in (parts.fit, parts.judge, parts.proof)]
    assert sum(map(len, told)) == len(set.union(*told)) == len(data.y)
    assert len(parts.proof) >= FEWEST
    assert len(parts.judge) == len(data.y) / 2


def test_few_rows_are_all_fitted_to_or_judge(make):
    made = make("binary")
    data, _ = dataset_of(read(str(made.path)), ingest.from_frame(made.holdout), "y", seed=0)
    parts = Parts.of(data)
    assert len(parts.proof) == 0
    assert np.array_equal(parts.fit, data.train)
    done = compress(str(made.path), str(made.csv), "y", techniques=["truncate"])
    assert done.checks == ()
    assert any("400 rows are too few to hold some back" in one for one in done.notes)


def test_a_form_that_keeps_the_loss_on_rows_that_chose_nothing_is_shipped(explored, proven):
    _, parts, found, _ = explored
    assert chosen(found).technique == "truncate"
    done = proven(found=found)
    (check,) = done.checks
    assert check.passed
    assert check.statement.startswith("rmse loses")
    assert "by truncate" in check.statement
    assert f"on {len(parts.proof)} test rows" in check.statement
    assert done.frontier == found
    assert len(done.bundle.to_bytes()) == chosen(found).bytes


def test_one_that_surely_loses_more_gives_way_to_a_milder_one(explored, proven, monkeypatch):
    _, _, found, make = explored
    smallest = int(np.argmin([one.bytes for one in found.candidates]))

    def largest(found, limits):
        return max(found.candidates[1:], key=lambda one: one.bytes)

    mild = largest(found, None)
    monkeypatch.setattr(proof, "milder", largest)
    done = proven(found=allowing(found, max(mild.loss.high, 0) / mild.score + 0.01, smallest))
    assert [one.passed for one in done.checks] == [False, True]
    assert chosen(done.frontier).bytes == mild.bytes
    assert done.bundle.to_bytes() == make(mild).to_bytes()


def test_and_where_there_is_none_the_model_stays_as_it_was(explored, proven, monkeypatch):
    _, _, found, make = explored
    whole, smallest = found.candidates[0], min(found.candidates, key=lambda one: one.bytes)
    strict = allowing(found, 0.001, found.candidates.index(smallest))
    monkeypatch.setattr(proof, "milder", lambda *_: None)
    done = proven(found=strict)
    assert [one.passed for one in done.checks] == [False]
    assert "at least" in done.checks[0].statement
    assert chosen(done.frontier).technique == "none"
    assert done.bundle.to_bytes() == make(whole).to_bytes()

    def fails(form):
        if form.parameters == mild.parameters:
            raise ParityError("it does not add up")
        return make(form)

    mild = found.candidates[1]
    monkeypatch.setattr(proof, "milder", lambda *_: mild)
    again = proven(found=strict, make=fails)
    assert chosen(again.frontier).technique == "none"
    assert len(again.checks) == 1


def test_a_model_that_stays_as_it_was_needs_no_proof(explored, proven):
    _, _, found, _ = explored
    done = proven(found=allowing(found, 0.0, 0))
    assert done.checks == ()
    assert chosen(done.frontier).technique == "none"
