"""Numbers with few binary digits, which a file packs in fewer bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def shortened(values: npt.ArrayLike, digits: int) -> npt.NDArray[np.float32]:
    """Round finite numbers to so many significant binary digits, of any shape.

    >>> shortened([1.01, -300.0, 0.0], 4).tolist()
    [1.0, -288.0, 0.0]
    """
    share, power = np.frexp(np.asarray(values, np.float64))
    rounded = np.ldexp(np.rint(np.ldexp(share, digits)), power - digits)
    return np.asarray(rounded, np.float32)
