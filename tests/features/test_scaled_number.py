import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raymm.artifacts import Column
from raymm.features.scaled_number import ScaledNumber, Scaling

COLUMN = Column(name="x", kind="number")
ANY = arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32))
Y = np.zeros(0)


@pytest.mark.slow
@given(ANY, ANY)
@settings(max_examples=60, deadline=None)
def test_result_is_always_finite_and_equal_in_the_graph(run_graph, train, values):
    part = ScaledNumber(COLUMN).fit(train, Y)
    result = part.transform(values)
    assert np.isfinite(result).all()
    # The logarithms of numpy and onnxruntime may differ by an ulp, magnified by the final factor.
    np.testing.assert_allclose(
        run_graph(part, values), result, rtol=1e-5, atol=1e-5 * float(part.scaling.factor)
    )


@pytest.mark.parametrize("skewed", [False, True])
def test_training_values_are_standardised_and_keep_their_order(skewed):
    generator = np.random.default_rng(0)
    train = generator.normal(3, 50, size=1000).astype(np.float32)
    train = np.exp(train / 10) if skewed else train
    scaling = Scaling().fit(train)
    result = scaling(train)
    assert scaling.squash == skewed
    assert abs(result.mean()) < 1e-3
    assert abs(result.std() - 1) < 1e-3
    assert (np.diff(result[np.argsort(train)]) >= 0).all()


def test_extremes_stay_within_one_deviation_of_the_range_seen():
    train = np.arange(101, dtype=np.float32)
    scaling = Scaling().fit(train)
    ends = scaling(np.array([0, 100], dtype=np.float32))
    far = scaling(np.array([-np.inf, np.inf], dtype=np.float32))
    # One robust deviation of this column (50 / 1.349 = 37) is 1.27 of its standard deviations.
    np.testing.assert_allclose(np.abs(far - ends), 50 / 1.349 / train.std(), rtol=1e-4)


def test_missing_becomes_the_median_and_an_indicator_only_if_training_had_it():
    with_gap = ScaledNumber(COLUMN).fit(np.array([1, 2, 9, np.nan], dtype=np.float32), Y)
    without = ScaledNumber(COLUMN).fit(np.array([1, 2, 9], dtype=np.float32), Y)
    rows = np.array([np.nan, 2], dtype=np.float32)
    assert with_gap.names == ("x", "x rank", "x missing")
    assert with_gap.transform(rows)[:, 2].tolist() == [1, 0]
    assert without.names == ("x", "x rank")
    for part in (with_gap, without):
        filled = part.transform(rows)[:, :2]
        np.testing.assert_array_equal(filled[0], filled[1])


def test_two_values_have_no_rank():
    part = ScaledNumber(COLUMN).fit(np.array([0, 1, 1, 0], dtype=np.float32), Y)
    assert part.names == ("x",)


def test_a_weighted_sum_of_the_features_follows_the_logarithm_of_a_skewed_number():
    generator = np.random.default_rng(0)
    log = generator.normal(0, 2, size=2000)
    train = np.exp(log)
    train[:5] *= 1e4
    x = ScaledNumber(COLUMN).fit(train.astype(np.float32), Y).transform(train.astype(np.float32))
    design = np.column_stack([x, np.ones(len(x))])
    left = log - design @ np.linalg.lstsq(design, log, rcond=None)[0]
    # 0.97 measured, and 0.83 from the scaled value alone.
    assert 1 - left.var() / log.var() > 0.95
