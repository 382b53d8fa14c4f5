"""What a graph's nodes and ends say beside their tensors, as JSON holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from raymm.bundle.bitwise import damaged


def attribute(one: Any) -> list[Any]:
    """Return an attribute as JSON holds it: its type and its values.

    Raises
    ------
    ValueError
        When it is of a type that is not coded.
    """
    from onnx import helper

    value = helper.get_attribute_value(one)
    return [one.type, *_values(one.type, value if one.type > 4 else [value])]


def _values(kind: int, values: Any) -> Iterator[Any]:
    if kind not in (1, 2, 3, 6, 7, 8):
        raise ValueError("attributes must hold numbers or words")
    for value in values:
        if kind in (1, 6):
            yield float(str(np.float32(value))) if np.isfinite(value) else str(value)
        elif kind in (2, 7):
            yield int(value)
        else:
            yield value.decode()


def set_attributes(node: Any, given: Any) -> None:
    """Give a node its attributes, as `attribute` returned each; BundleError where they are none."""
    try:
        for name, (kind, *values) in given.items():
            one = node.attribute.add(name=name, type=kind)
            reads: dict[int, Any] = {1: float, 2: int, 3: str.encode}
            held = [reads[kind if kind < 5 else kind - 5](value) for value in values]
            if kind < 5:
                setattr(one, {1: "f", 2: "i", 3: "s"}[kind], held[0])
            else:
                getattr(one, {6: "floats", 7: "ints", 8: "strings"}[kind]).extend(held)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise damaged("has an attribute that is none") from error


def letters(message: Any) -> str:
    """Return a message's bytes as letters of Latin-1."""
    return str(message.SerializeToString(deterministic=True).decode("latin-1"))


def parse(message: Any, text: Any) -> None:
    """Read a message from what `letters` returned; BundleError where it is none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        message.ParseFromString(str(text).encode("latin-1"))
    except (DecodeError, UnicodeEncodeError) as error:
        raise damaged("is no part of a graph") from error
