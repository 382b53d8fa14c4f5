import numpy as np
import pytest

from raymm.features.digits import shortened


@pytest.mark.parametrize("digits", [1, 4, 8])
def test_numbers_keep_so_many_digits_and_move_no_further_than_half_of_the_last(digits):
    values = np.random.default_rng(0).normal(size=(40, 5)) * np.logspace(-20, 20, 5)
    made = shortened(values, digits)
    assert made.shape == values.shape
    assert made.dtype == np.float32
    share = np.frexp(made.astype(np.float64))[0]
    np.testing.assert_array_equal(np.ldexp(share, digits) % 1, 0)
    assert np.abs(made / values - 1).max() <= 2.0**-digits
    np.testing.assert_array_equal(shortened(made, digits), made)


def test_zero_stays_zero():
    assert shortened([0.0, -0.0], 4).tolist() == [0.0, 0.0]
