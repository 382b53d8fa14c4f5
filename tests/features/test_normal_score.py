import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raymm.features.normal_score import KNOTS, NormalScore
from raymm.features.transform import Transform

FINITE = st.floats(-(2.0**99), 2.0**99, width=32)
ANY = arrays(np.float32, st.integers(1, 80), elements=FINITE)


class Alone(Transform):
    """The score as a transform of its own, for the graph's sake."""

    names = ("score",)

    def __init__(self, score):
        self.score = score

    def fit(self, values, y):
        return self

    def transform(self, values):
        return self.score(values)[:, None]

    def to_onnx(self, builder, tensor):
        return self.score.to_onnx(builder, tensor)


@given(ANY, ANY)
@settings(max_examples=50, deadline=None)
def test_scores_are_bounded_and_increasing_and_equal_in_the_graph(run_graph, train, values):
    score = NormalScore().fit(train)
    result = score(values)
    assert len(score.knots) <= KNOTS
    assert np.isfinite(result).all()
    # Between distant knots a step is smaller than a rounding.
    assert (np.diff(result[np.argsort(values, kind="stable")]) >= -1e-6).all()
    # Both sum in float64; the roundings to float32 may fall on either side.
    np.testing.assert_allclose(run_graph(Alone(score), values)[:, 0], result, rtol=1e-6, atol=1e-6)


def test_any_monotone_change_of_unit_gives_nearly_the_same_normal_scores():
    normal = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    plain = NormalScore().fit(normal)(normal)
    bent = NormalScore().fit(np.exp(3 * normal))(np.exp(3 * normal))
    assert abs(plain.mean()) < 1e-6
    assert abs(plain.std() - 1) < 1e-6
    assert np.corrcoef(plain, normal)[0, 1] > 0.98
    assert np.corrcoef(plain, bent)[0, 1] > 0.98


def test_ties_share_the_middle_of_their_ranks():
    # Ranks 0 to 3 and 3 to 4 of 4: shares 3 / 8 and 7 / 8; deviates -0.319 and 1.150.
    score = NormalScore().fit(np.array([5, 5, 5, 9], dtype=np.float32))
    low, high = score(np.array([5, 9], dtype=np.float32))
    np.testing.assert_allclose([low, high], [-(3**-0.5), 3**0.5], rtol=1e-6)
    assert score(np.array([7], dtype=np.float32))[0] == np.float32((low + high) / 2)
