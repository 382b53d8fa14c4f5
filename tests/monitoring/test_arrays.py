from __future__ import annotations

import numpy as np
import pytest

from raymm.monitoring.arrays import from_text, to_text


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", ">f8"])
def test_an_array_comes_back_bit_for_bit(dtype: str) -> None:
    values = np.array([0, 1, 3.5, 200], dtype)
    back = from_text(to_text(values), dtype)
    assert back.dtype == np.dtype(dtype)
    assert back.tolist() == values.tolist()


@pytest.mark.parametrize("text", ["AAA", "AAAA", "????"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_text(text, np.float64)
