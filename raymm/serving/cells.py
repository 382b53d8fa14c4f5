"""Reads the distinct values of an Arrow column, and bounds what its text comes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raymm.errors import InputError, RaymmError, TooLarge

_TYPES = pa.types


class TextRoom:
    """Counts what one column's text comes to over all of its chunks.

    Parameters
    ----------
    most : int
        Bytes that it may come to.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0

    def take(self, size: int) -> None:
        """Count so many bytes more; raises TooLarge where there is no room for them."""
        self._size += size
        if self._size > self._most:
            raise TooLarge(
                f"the text of one column may come to {self._most} bytes, but this one's comes to "
                f"{self._size}. Send fewer rows, or raise serving.max_body_kb."
            )


@contextmanager
def reading() -> Iterator[None]:
    """Read a table within: what no reader foresaw is the table's fault, and is told without words.

    Raises
    ------
    InputError
        In place of any error that is not raymm's own. Its text may hold a value, so it is dropped.
    """
    try:
        yield
    except (RaymmError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            field="body",
            observed=f"a table that cannot be read ({type(error).__name__})",
            allowed="a table of text, numbers, truth values and dates",
        ) from None


def encoded(array: Any, room: TextRoom) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return each row's place among the distinct values, and those; None where missing.

    Only those values of a dictionary that some row has are looked at.

    Parameters
    ----------
    array : pyarrow.Array
        Of text, numbers, truth values or nulls, or of a dictionary of those.
    room : TextRoom
        For the text of views, of which many may share one.

    Raises
    ------
    TooLarge
    pyarrow.ArrowNotImplementedError
        For any other type: a value of few bytes may be a list of many, or a time that Python's
        own types do not hold.
    """
    kind = array.type
    if not _is_plain(kind.value_type if _TYPES.is_dictionary(kind) else kind):
        raise pa.ArrowNotImplementedError("a column of neither text nor numbers")
    if _TYPES.is_null(kind):
        return np.zeros(len(array), np.int64), [None]
    if _TYPES.is_float16(kind):
        array = array.cast(pa.float32())
    if _TYPES.is_string_view(kind):
        room.take(_viewed(array))
        array = array.cast(pa.large_string())
    if _TYPES.is_dictionary(kind):
        codes = array.indices.cast(pa.int64()).fill_null(-1).to_numpy()
        used, codes = np.unique(codes, return_inverse=True)
        lacking = int(len(used) > 0 and used[0] < 0)
        values = array.dictionary
        if _TYPES.is_string_view(values.type):
            room.take(_viewed(values))
            values = values.cast(pa.large_string())
        values = values.take(pa.array(used[lacking:], pa.int64()))
        codes = codes - lacking
    else:
        coded = array.dictionary_encode()
        indices = coded.indices if coded.null_count == 0 else coded.indices.fill_null(-1)
        codes = indices.to_numpy()
        values = coded.dictionary
    if _TYPES.is_decimal(values.type):
        values = values.cast(pa.string()).cast(pa.float64())
    found = values.to_pylist()
    if _TYPES.is_floating(values.type):
        found = [None if value != value else value for value in found]  # noqa: PLR0124 - NaN alone
    if len(codes) and codes.min() < 0:
        codes = np.where(codes < 0, len(found), codes)
        found.append(None)
    return codes.astype(np.int64, copy=False), found


def is_text(kind: Any) -> bool:
    """Whether it is one of Arrow's types of text."""
    return bool(
        _TYPES.is_string(kind) or _TYPES.is_large_string(kind) or _TYPES.is_string_view(kind)
    )


def _is_plain(kind: Any) -> bool:
    plain = (_TYPES.is_integer, _TYPES.is_floating, _TYPES.is_decimal, _TYPES.is_boolean)
    return is_text(kind) or bool(_TYPES.is_null(kind)) or any(fits(kind) for fits in plain)


def _viewed(array: Any) -> int:
    """Return the bytes of an array of views: a view's length is the first of its four numbers."""
    if not len(array):
        return 0
    end = array.offset + len(array)  # a buffer may be longer, by any number of bytes
    views = np.frombuffer(array.buffers()[1], np.int32, count=4 * end).reshape(-1, 4)
    lengths = views[array.offset :, 0].astype(np.int64)
    return int(lengths[array.is_valid().to_numpy(zero_copy_only=False)].sum())
