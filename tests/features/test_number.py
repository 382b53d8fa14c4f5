import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raymm.artifacts import Column
from raymm.features.number import LIMIT, Number

NUMBER = Number(Column(name="x", kind="number"))
ANY = arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32))


@given(ANY)
@settings(max_examples=30, deadline=None)
def test_graph_equals_transform_to_the_bit(run_graph, values):
    expected = NUMBER.transform(values)
    np.testing.assert_array_equal(run_graph(NUMBER, values), expected)


@given(ANY)
def test_ordinary_values_and_gaps_pass_and_the_rest_is_held(values):
    result = NUMBER.transform(values)[:, 0]
    kept = ~(np.abs(values) > LIMIT)
    np.testing.assert_array_equal(result[kept], values[kept])
    assert (np.abs(result[~kept]) <= np.float32(LIMIT)).all()
    assert NUMBER.names == ("x",)
