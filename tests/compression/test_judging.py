from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression import bounds, judging, trying
from raymm.compression.judging import Judge
from raymm.compression.truncate import Truncate
from raymm.evaluation.metrics import metric_for


@pytest.fixture(scope="module")
def measured(dataset, trained):
    """Return a judge, the bundle as it is, and two truncations of it, all measured."""
    data = dataset("binary")
    bundle, _ = trained(data, rounds=20)
    tensors, y = data.rows(data.test), data.y[data.test]
    judge = Judge(
        metric=metric_for("roc_auc", "binary"),
        tensors=tensors,
        y=y,
        seed=0,
        whole=Runner(bundle).judge(tensors),
        max_loss=0.03,
    )
    old, judging.TIMED_CALLS = judging.TIMED_CALLS, 5
    cut = [
        judge.measured("truncate", {"keep": keep}, Truncate().apply(bundle, {"keep": keep}, None))
        for keep in (0.7, 0.05)
    ]
    whole = judge.measured("none", {}, bundle)
    judging.TIMED_CALLS = old
    return judge, whole, *cut


def test_a_form_is_compared_with_its_control_in_pairs(measured):
    judge, _, large, small = measured
    gain = judge.compared(large, small).candidate.over_control
    assert gain.value == pytest.approx(large.candidate.score - small.candidate.score)
    assert gain.low < gain.value < gain.high
    # Of itself no form is better.
    assert judge.compared(large, large).candidate.over_control.value == 0


def test_only_a_form_that_beats_its_control_is_good(measured):
    judge, whole, large, small = measured
    assert judge.good(whole.candidate)
    assert judge.good(large.candidate)
    better, worse = judge.compared(large, small), judge.compared(large, large)
    assert judge.good(better.candidate)
    assert not judge.good(worse.candidate)


def test_a_form_that_surely_loses_too_much_is_hopeless(measured):
    judge, whole, large, small = measured
    assert not judge.hopeless(whole.candidate)
    assert not judge.hopeless(large.candidate)
    assert judge.hopeless(small.candidate)


def test_what_else_is_too_bad_is_told_of_answers_and_is_never_good(measured):
    judge, _, large, small = measured
    seen = []

    def beside(answers):
        seen.append(answers)
        return "it says nothing" if len(seen) == 1 else ""

    judge = dataclasses.replace(judge, beside=beside, spoilt={})
    forms = [judge.measured("truncate", {"keep": keep}, large.bundle) for keep in (0.7, 0.8)]
    assert judge.spoilt == {"truncate keep=0.7": "it says nothing"}
    assert judge.ruled_out == ("truncate keep=0.7: measured, but it says nothing",)
    why = [trying._why("truncate", one.candidate, judge) for one in (forms[0], small)]
    assert why[0] == "truncate keep=0.7: it says nothing"
    assert why[1] == "truncate keep=0.05: surely loses too much"
    assert [judge.good(one.candidate) for one in forms] == [False, True]
    assert [judge.hopeless(one.candidate) for one in forms] == [True, False]
    assert np.array_equal(seen[0], Runner(large.bundle).predict(judge.tensors))


def test_bounds_of_several_are_wider_than_those_of_one(measured):
    judge, whole, large, small = measured
    (_, alone) = judge.together([whole, large])
    _, one, other = judge.together([whole, large, small])
    assert one.loss.high > alone.loss.high > one.loss.value == large.candidate.loss.value
    assert other.loss.low < small.candidate.loss.value < other.loss.high
    assert judge.together([whole]) == (whole.candidate,)
    assert np.isfinite([one.loss.low, one.loss.high]).all()


def test_forms_that_were_not_made_widen_the_bounds_of_those_that_were(measured):
    judge, whole, large, _ = measured
    alone = judge.together([whole, large])[1]
    noise = 1e-3 * np.random.default_rng(0).normal(size=(50, len(large.losses)))
    beside = judge.together([whole, large], list(noise))[1]
    assert beside.loss.value == alone.loss.value
    assert beside.loss.high > alone.loss.high
    # Of those that surely are too bad none could have been chosen.
    assert judge.together([whole, large], list(noise + 1e3))[1].loss == alone.loss


def test_a_prediction_is_lost_as_the_form_that_makes_it(measured):
    judge, _, large, _ = measured
    score, loss, losses, hidden = judge.lost(Runner(large.bundle).judge(judge.tensors))
    assert (score, hidden) == (large.candidate.score, large.hidden)
    assert loss == large.candidate.loss
    assert np.array_equal(losses, large.losses)


@pytest.mark.parametrize(
    ("row", "thousand", "calls"),
    [(100, 5_000, 210 + 4), (10_000, 200_000, 31 + 2), (400_000, 900_000, 1 + 1)],
)
def test_slow_forms_are_called_less_often(monkeypatch, row, thousand, calls):
    """Times are in microseconds; what takes as long as may be measured is called once."""
    now, called = [0], []

    class Runner:
        def predict(self, tensors):
            called.append(len(tensors["x"]))
            now[0] += 1000 * (row if called[-1] == 1 else thousand)

    monkeypatch.setattr(judging.time, "perf_counter_ns", lambda: now[0])
    made = judging.times(Runner(), {"x": np.zeros(50)})
    assert made == (row, row, thousand)
    assert len(called) == calls


def test_a_form_that_answers_nothing_is_hopeless(measured, monkeypatch):
    judge, whole, *_ = measured

    def nothing(self, tensors):
        made = np.array(judge.whole)
        made[0] = np.nan
        return made

    monkeypatch.setattr(judging.Runner, "predict", nothing)
    monkeypatch.setattr(judging, "TIMED_CALLS", 5)
    form = judge.measured("truncate", {"keep": 0.9}, whole.bundle)
    assert form.candidate.score == 0.5
    assert judge.hopeless(form.candidate)
    # With a rare class a constant is as accurate as a model.
    rare = dataclasses.replace(
        judge, metric=metric_for("accuracy", "binary"), y=np.zeros(len(judge.y), np.int64)
    )
    form = rare.measured("truncate", {"keep": 0.9}, whole.bundle)
    assert not rare.good(form.candidate)
    assert not rare.good(rare.together([whole, form])[1])


def test_resamples_without_a_class_hide_no_unknown_loss(measured):
    judge, *_ = measured
    y = np.zeros(len(judge.y), np.int64)
    y[np.argsort(judge.whole[:, 1])[-3:]] = 1
    few = dataclasses.replace(judge, y=y)
    squeezed = np.array(few.whole)
    squeezed[:, 1] = np.argsort(np.argsort(few.whole[:, 1])) / len(y)  # the same order
    squeezed[:, 0] = 1 - squeezed[:, 1]
    _, loss, losses, hidden = few.lost(squeezed)
    assert np.isnan(losses).any()
    assert hidden
    assert loss.high > 0


@pytest.fixture
def formed(measured):
    """Return a function that makes forms with losses drawn about a value."""
    large, random = measured[2], np.random.default_rng(0)

    def form(value, spread):
        score = dataclasses.replace(large.candidate.loss, value=value)
        losses = value + spread * random.normal(size=judging.RESAMPLES)
        return dataclasses.replace(
            large, candidate=dataclasses.replace(large.candidate, loss=score), losses=losses
        )

    return form


def test_what_is_surely_within_or_far_beyond_what_is_allowed_holds_no_other_back(measured, formed):
    judge, whole, *_ = measured
    # Within 0.03 by 1.8 errors: enough for one alone, not for two at once (1.65 and 1.95).
    doubtful, good, bad = formed(0.012, 0.01), formed(0.0, 0.001), formed(0.5, 0.01)
    alone, same = judge.together([whole, doubtful]), judge.together([whole, doubtful, bad])
    assert alone[1].loss.high < judge.allowed
    assert same[1].loss == alone[1].loss
    beside = judge.together([whole, doubtful, good, bad])[1]
    assert judge.good(beside)
    # That it is within what is allowed is all that is known.
    assert beside.loss.high == judge.allowed
    # Another that is doubtful does.
    assert not judge.good(judge.together([whole, doubtful, formed(0.025, 0.01)])[1])


def test_a_form_that_stays_doubtful_is_told_by_bounds_that_hold_for_all(measured, formed):
    judge, whole, *_ = measured
    doubtful, good = formed(0.02, 0.01), formed(0.0, 0.001)
    values, losses = np.array([0.02, 0.0]), np.stack([doubtful.losses, good.losses], axis=1)
    low, high = bounds.together(values, losses, judging.LEVEL)
    told = [one.loss for one in judge.together([whole, doubtful, good])[1:]]
    assert [one.low for one in told] == low.tolist()
    assert [one.high for one in told] == high.tolist()
    assert told[0].high > judge.together([whole, doubtful])[1].loss.high


def test_answers_that_are_far_from_losing_anything_are_trusted_the_more(measured):
    judge, *_ = measured

    class Decided:
        name, direction, bounded = "accuracy", "maximize", True

        def __call__(self, y, p, **_):
            return float(np.mean((np.asarray(p)[:, 1] > 0.5) == y))

    whole = np.stack([1 - 0.9 * judge.y, 0.9 * judge.y], axis=1).astype(np.float64)
    one = dataclasses.replace(judge, metric=Decided(), whole=whole)
    one.__dict__.pop("score", None)
    moved = [np.clip(whole + step * np.array([1, -1]), 0, 1) for step in (0.0005, 0.3)]
    near, far = (one.lost(prediction, bounded_moves=True) for prediction in moved)
    assert near[0] == far[0] == 1.0
    assert near[3] == max(judging.FARTHER)
    assert far[3] == 1.0
    assert near[1].high == pytest.approx(far[1].high / max(judging.FARTHER))
    # Where a row of those that are not here may move far, nearness here says nothing of it.
    doubtful = one.lost(moved[0])
    assert doubtful[3] == 1.0
    assert doubtful[1].high == far[1].high == bounds.unseen(len(one.y), 1, judging.LEVEL)


def test_forms_that_no_rows_could_tell_to_be_safe_take_no_share_of_the_risk(measured):
    judge, whole, large, _ = measured
    rows = len(judge.y)
    nothing = dataclasses.replace(large.candidate.loss, value=0.0)
    hidden = dataclasses.replace(
        large,
        losses=np.zeros(judging.RESAMPLES),
        hidden=1.0,
        candidate=dataclasses.replace(large.candidate, loss=nothing),
    )
    near = dataclasses.replace(hidden, hidden=8.0, bounded_moves=True)
    alone = bounds.unseen(rows, 1, judging.LEVEL)
    # Less than a form whose rows move far can ever be sure of, and then what one alone can.
    for allowed, tested in ((0.9 * alone, 2), (alone, 4)):
        one = dataclasses.replace(judge, max_loss=allowed)
        found = one.together([whole, hidden, near, hidden, near])[1:]
        most = bounds.unseen(rows, tested, judging.LEVEL)
        assert [form.loss.high for form in found] == pytest.approx([most, most / 8] * 2)
        assert not one.good(found[0])


def test_rows_that_only_gain_tell_as_little_of_what_others_lose(measured):
    judge, *_ = measured
    rows = 300
    whole = np.tile([0.2, 0.8], (rows, 1))
    metric = metric_for("accuracy", "binary")
    for gained in (0, 1, 3, 5):
        y = np.ones(rows, np.int64)
        y[: max(gained, 1)] = 0
        one = dataclasses.replace(judge, metric=metric, y=y, whole=whole, max_loss=0.005)
        made = np.tile([0.25, 0.75], (rows, 1))
        made[:gained] = made[:gained, ::-1]
        _, loss, _, hidden = one.lost(made)
        assert loss.value == pytest.approx(-gained / rows)
        assert hidden == 1.0
        most = bounds.unlost(rows, gained, 1, judging.LEVEL)
        assert loss.high == pytest.approx(most)
        assert one.within(loss) == (gained == 5)


def test_a_form_that_errs_on_few_rows_that_are_not_here_is_not_taken_for_safe(measured):
    judge, *_ = measured
    # One row in a hundred is wrong. Of 100 rows none is one of these with a chance of 37 %.
    random, rows, share = np.random.default_rng(0), 100, 0.01
    metric = metric_for("accuracy", "binary")
    broken, tries = 0, 100
    for _ in range(tries):
        y = random.integers(0, 2, rows)
        whole = np.stack([0.9 - 0.8 * y, 0.1 + 0.8 * y], axis=1)
        made = whole + 1e-3 * random.normal(size=rows)[:, None] * np.array([1, -1])
        wrong = random.random(rows) < share
        made[wrong] = whole[wrong, ::-1]
        one = dataclasses.replace(judge, metric=metric, y=y, whole=whole, max_loss=share / 2)
        broken += one.within(one.lost(made)[1])
    # The promise is 5 %; three standard deviations of that share in so many tries.
    assert broken <= tries * 0.05 + 3 * np.sqrt(tries * 0.05 * 0.95)


def test_forms_whose_rows_all_move_about_as_far_lose_more_than_told_as_rarely_as_promised(measured):
    judge, *_ = measured
    # Sure answers are as frequent as doubtful ones, at worst, so that a row that moves up or down
    # by some of 0.02 loses with a chance of a quarter of that: just more than is allowed.
    random, rows, far = np.random.default_rng(0), 288, 0.02
    metric = metric_for("accuracy", "binary")
    broken, tries = 0, 200
    for _ in range(tries):
        y = random.integers(0, 2, rows)
        sure = 0.5 + random.random(rows) / 2
        moves = random.choice([-far, far], rows) / 2
        whole, made = (
            np.where(y[:, None] == np.arange(2), own[:, None], 1 - own[:, None])
            for own in (sure, sure + moves)
        )
        one = dataclasses.replace(judge, metric=metric, y=y, whole=whole, max_loss=0.49 * far)
        form = one.lost(made, bounded_moves=True)
        broken += form[3] > 0 and one.within(form[1])
    assert broken <= tries * 0.05 + 3 * np.sqrt(tries * 0.05 * 0.95)


def test_measuring_a_larger_form_is_expected_to_take_longer(measured):
    judge = dataclasses.replace(measured[0], took=[])
    assert judge.expected(10) == 0.0
    judge.took.extend([(1_000, 3.0), (4_000, 2.0)])
    assert (judge.expected(10), judge.expected(4_000), judge.expected(10_000)) == (2.0, 2.0, 5.0)
    judge.took[0] = (3_000, 1.0)  # of nearly the same size, which tells little
    assert judge.expected(10_000) == 5.0
    judge.took[0] = (1_000, 1.0)  # a third of a second for a thousand bytes more
    assert (judge.expected(10), judge.expected(10_000)) == (2.0, pytest.approx(4.0))


def test_what_measuring_took_is_known_but_for_the_bundle_itself(measured):
    judge, whole, large, small = measured
    known = dict(judge.took)
    assert {large.candidate.graph_bytes, small.candidate.graph_bytes} < set(known)
    assert all(seconds > 0 for seconds in known.values())
    before = len(judge.took)
    judge.measured("none", {}, whole.bundle, Runner(whole.bundle))
    assert len(judge.took) == before
