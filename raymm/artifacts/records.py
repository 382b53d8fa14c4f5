"""Frozen types as plain JSON records, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import numpy as np

Made = TypeVar("Made")


def as_record(value: Any) -> Any:
    """Turn a frozen type into plain JSON values.

    Tuples and arrays become lists, NaN and infinities become None, mappings keep their order.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_record(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_record(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_record(value.tolist())
    if isinstance(value, list | tuple):
        return [as_record(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def from_record(kind: type[Made], record: Mapping[str, Any]) -> Made:
    """Read a frozen type back from what `as_record` wrote.

    Fields that the record lacks take their defaults; fields that the type does not know are
    passed over, so an older reader can read a newer record of the same version number.

    Raises
    ------
    ValueError
        When a field without a default is missing, or the record's version is newer.
    """
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if (
        "version" in fields
        and record.get("version", 1) > typing.cast(Any, fields["version"]).default
    ):
        raise ValueError(
            f"this {kind.__name__} has format version {record['version']}, newer than "
            f"{fields['version'].default}. Use a newer raymm."
        )
    known = {name: _typed(hints[name], record[name]) for name in fields if name in record}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def _typed(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        frozen = [a for a in arguments if dataclasses.is_dataclass(a)]
        several = [a for a in arguments if typing.get_origin(a) is tuple]
        if several and isinstance(value, list):
            return _typed(several[0], value)
        return _typed(frozen[0], value) if frozen and isinstance(value, Mapping) else value
    if dataclasses.is_dataclass(hint):
        return from_record(typing.cast(type[Any], hint), value)
    if origin is tuple:
        inner = arguments[0] if arguments[-1] is Ellipsis else None
        if inner is None:
            return tuple(_typed(a, v) for a, v in zip(arguments, value, strict=True))
        return tuple(_typed(inner, item) for item in value)
    if hint is float and value is None:
        return float("nan")
    return value
