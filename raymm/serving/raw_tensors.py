"""Reads tensors of the Open Inference Protocol that come as bytes.

Over gRPC they are ``raw_input_contents``. Over HTTP they follow the JSON document, whose length
the header ``Inference-Header-Content-Length`` tells, as the client of NVIDIA Triton sends them by
itself; an answer is JSON in any case, which that client reads as well.

Source: the binary tensor data extension of the protocol, protocol/extension_binary_data.md of
https://github.com/triton-inference-server/server.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from raymm.errors import InputError
from raymm.serving import protocol
from raymm.serving.columns import shown
from raymm.serving.media import BEGINNING, Headers

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"{'U' * (kind == 'u')}INT{8 * size}": np.dtype(f"<{kind}{size}")
       for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}  # fmt: skip
"""What a datatype's values are; those of BYTES are texts."""
_SIZE = "binary_data_size"
_DIMENSIONS = 8


def document_of(body: bytes, headers: Headers) -> Any:
    """Return a request's JSON document, in which data that came behind it is `Raw`.

    Raises
    ------
    InputError
        When it is no JSON, or the tensors' sizes and what follows do not fit.
    """
    given = headers.get(BEGINNING)
    if given is None:
        return protocol.document(body)
    if not given.isdigit() or len(given) > 18 or int(given) > len(body):
        raise InputError(
            field="Inference-Header-Content-Length",
            observed=repr(given[:40].decode("latin-1")),
            allowed="the length of the JSON document in bytes",
        )
    place = int(given)
    made = protocol.document(body[:place])
    inputs = made.get("inputs") if type(made) is dict else None
    for position, tensor in enumerate(inputs if type(inputs) is list else ()):
        parameters = tensor.get("parameters") if type(tensor) is dict else None
        size = parameters.get(_SIZE) if type(parameters) is dict else None
        if size is None:
            continue
        field = f"inputs[{position}]"
        if type(size) is not int or not 0 <= size <= len(body) - place:
            raise InputError(
                field=f"{field}.parameters.{_SIZE}",
                observed=shown(size),
                allowed=f"a number of bytes; {len(body) - place} are left",
            )
        tensor["data"] = _data(tensor, body[place : place + size], field)
        place += size
    if place != len(body):
        observed = f"{len(body) - place} bytes more"
        raise InputError(field="body", observed=observed, allowed="the bytes of its tensors")
    return made


def _data(tensor: Mapping[str, Any], data: bytes, field: str) -> Raw:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if type(datatype) is not str:
        raise InputError(
            field=f"{field}.datatype", observed=shown(datatype), allowed=" or ".join(DTYPES)
        )
    if type(shape) is not list or not all(type(size) is int for size in shape[: _DIMENSIONS + 1]):
        raise InputError(field=f"{field}.shape", observed=shown(shape), allowed="[n] or [n, 1]")
    return raw(datatype, data, field, shape)


def plain(datatype: str, data: list[Any], field: str) -> list[Any]:
    """Return values as JSON has them: text, and None for NaN; raises InputError."""
    if datatype == "BYTES":
        try:
            return [value.decode() for value in data]
        except UnicodeDecodeError as error:
            raise InputError(
                field=f"{field}.data", observed="other bytes", allowed="text in UTF-8"
            ) from error
    if not datatype.startswith("FP"):
        return data
    if any(map(math.isinf, data)):
        raise InputError(field=f"{field}.data", observed="infinity", allowed="finite numbers")
    return [None if value != value else value for value in data]  # noqa: PLR0124 - NaN alone


def require_count(count: int, shape: Iterable[int], field: str) -> None:
    """Raise InputError where a tensor has not as many values as its shape says."""
    wanted = list(islice(shape, _DIMENSIONS + 1))
    if len(wanted) > _DIMENSIONS:
        allowed = f"{_DIMENSIONS} dimensions at most"
        raise InputError(field=f"{field}.shape", observed="more of them", allowed=allowed)
    if min(wanted, default=0) < 0 or count != math.prod(wanted):
        raise InputError(
            field=f"{field}.data",
            observed=f"{count} values",
            allowed=f"as many values as the shape {wanted[:8]} has",
        )


@dataclass(frozen=True, slots=True)
class Raw:
    """A tensor's bytes, as many values as its shape says; they take up to fifty times the room.

    Parameters
    ----------
    datatype : str
        "BYTES" or one of `DTYPES`.
    data : bytes
        Little-endian values, or each text after its length.
    field : str
        What errors call the tensor.
    count : int
        Its values.
    """

    datatype: str
    data: bytes
    field: str
    count: int

    def values(self) -> list[Any]:
        """Return the values as JSON has them; raises InputError as `plain` does."""
        if self.datatype == "BYTES":
            data = [self.data[start:end] for start, end in _texts(self.data, self.field)]
        else:
            data = np.frombuffer(self.data, DTYPES[self.datatype]).tolist()
        return plain(self.datatype, data, self.field)


def raw(datatype: str, data: bytes, field: str, shape: Iterable[int]) -> Raw:
    """Return a raw tensor whose values are counted and not yet read.

    Raises InputError where the bytes do not fit the datatype and the shape.
    """
    dtype = DTYPES.get(datatype)
    if datatype == "BYTES":
        count = sum(1 for _ in _texts(data, field))
    elif dtype is None:
        raise InputError(
            field=f"{field}.datatype",
            observed=datatype[:40],
            allowed=" or ".join(["BYTES", *DTYPES]),
        )
    elif len(data) % dtype.itemsize:
        raise InputError(
            field=f"{field}.data",
            observed=f"{len(data)} bytes",
            allowed=f"a multiple of {dtype.itemsize}",
        )
    else:
        count = len(data) // dtype.itemsize
    require_count(count, shape, field)
    return Raw(datatype, data, field, count)


def _texts(data: bytes, field: str) -> Iterator[tuple[int, int]]:
    """Yield where each text begins and ends; raises InputError where one is cut."""
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place) if place + 4 <= len(data) else (-1,)
        place += 4 + size
        if size < 0 or place > len(data):
            raise InputError(field=f"{field}.data", observed="a cut text", allowed="whole texts")
        yield place - size, place
