"""Decides what is predicted: the task, and for classes their names and order."""

from __future__ import annotations

import numpy as np

from raymm.artifacts import Column, Task
from raymm.data.guesses import Guess
from raymm.errors import DataError, TargetError
from raymm.features.columns import number
from raymm.sections import DataConfig

MOST_NUMBERS = 20
"""A target of at most this many whole numbers, each in ten rows on average, is one of classes."""

LEAST_ROWS = 10
"""Fewer rows than these cannot be split into training, validation and test rows."""


def target_of(found: Guess, config: DataConfig, rows: int) -> tuple[Column, Task, tuple[str, ...]]:
    """Return the target's column, the task, and the classes in order (empty for regression).

    Classes are sorted, numerically where all are numbers. Classes of a single row are left out:
    nothing can be learnt and tested of one row. The positive class of two comes last.

    Raises
    ------
    DataError
        When the target is not fit for the task, or has too few values: `TargetError` where another
        task or target helps.
    """
    name = config.target
    if found.known < LEAST_ROWS:
        raise DataError(
            f'The target "{name}" must have a value in at least {LEAST_ROWS} rows, but has one in '
            f"{found.known} of {rows}. Give more rows, or name another target."
        )
    if found.distinct < 2:
        raise DataError(
            f'The target "{name}" must have at least two different values, but every row holds '
            f"{found.word!r}. Name another target, or give rows of other classes."
        )
    if _is_regression(found, config):
        return _value_column(found, name), "regression", ()
    counts = _counts(found)
    classes = [word for word, count in counts.items() if count > 1]
    _require_classes(name, counts, classes, found)
    classes = _ordered(classes)
    task: Task = "multiclass" if len(classes) > 2 or config.task == "multiclass" else "binary"
    if config.task == "binary" and len(classes) > 2:
        holds = f"has {len(classes)} classes: {', '.join(classes[:10])}"
        raise TargetError(
            f'data.task is "binary", but the target "{name}" {holds}. '
            "Set data.task to multiclass or auto.",
            holds=holds,
        )
    if config.positive is not None:
        positive = _positive(config.positive, classes, name)
        classes = [word for word in classes if word != positive] + [positive]
    by_rows = sorted(classes, key=lambda word: (-counts[word], word))
    column = Column(
        name=name,
        kind="category",
        role="target",
        missing=found.missing,
        categories=tuple(by_rows),
        format=found.format if found.kind == "number" else None,
        example=found.word,
    )
    return column, task, tuple(classes)


def _value_column(found: Guess, name: str) -> Column:
    low, high = found.bounds or (0.0, 0.0)
    return Column(
        name=name,
        kind="number",
        role="target",
        missing=found.missing,
        minimum=low,
        maximum=high,
        format=found.format,
        example=found.first,
    )


def _is_regression(found: Guess, config: DataConfig) -> bool:
    if config.task == "regression":
        if found.kind != "number":
            holds = f"holds {found.kind} such as {found.word[:50]!r}"
            raise TargetError(
                f'data.task is "regression", but the target "{config.target}" {holds}. '
                "Name a column of numbers, or set data.task to auto.",
                holds=holds,
            )
        return True
    if config.task != "auto" or found.kind != "number":
        return False
    few = len(np.unique(found.cells))
    if few == 2:
        return False
    return not (found.whole and few <= MOST_NUMBERS and few * 10 <= found.known)


def _counts(found: Guess) -> dict[str, int]:
    """Return the rows of each class; two spellings of one number are one class."""
    counts: dict[str, int] = {}
    spelling: dict[float, str] = {}
    order = np.argsort(-found.rows, kind="stable")
    for i in order.tolist():
        word = found.words[i]
        if found.kind == "number" and found.values is not None:
            word = spelling.setdefault(float(found.values[i]), word)
        counts[word] = counts.get(word, 0) + int(found.rows[i])
    return counts


def _require_classes(name: str, counts: dict[str, int], classes: list[str], found: Guess) -> None:
    if found.kind == "datetime":
        raise DataError(
            f'The target "{name}" must hold numbers or classes, but holds dates such as '
            f"{found.word!r}. Name another target."
        )
    if len(counts) > 0.5 * found.known:
        holds = (
            f"has {len(counts)} different values in {found.known} rows, such as {found.word[:50]!r}"
        )
        number = found.kind == "number"
        remedy = "or set data.task to regression" if number else "or write numbers without units"
        raise TargetError(
            f'The target "{name}" must have classes that repeat, but {holds}. Name another target, '
            f"{remedy} if it is {'a number' if number else 'meant to be one'}.",
            holds=holds,
        )
    if len(classes) < 2:
        raise DataError(
            f'The target "{name}" must have at least two rows in each of two classes, but only '
            f"{' and '.join(map(repr, classes)) or 'none'} has. Give more rows of the others."
        )


def _ordered(classes: list[str]) -> list[str]:
    values = {word: number(word) for word in classes}
    if None in values.values():
        return sorted(classes)
    return sorted(classes, key=lambda word: (values[word] or 0.0, word))


def _positive(positive: str, classes: list[str], name: str) -> str:
    if len(classes) != 2:
        raise DataError(
            f'data.positive "{positive}" needs a target of two classes, but "{name}" has '
            f"{len(classes)}. Leave data.positive out."
        )
    wanted = number(positive)
    for word in classes:
        if word == positive or (wanted is not None and number(word) == wanted):
            return word
    for word in classes:
        if word.casefold() == positive.strip().casefold():
            return word
    raise DataError(
        f'data.positive "{positive}" must be a class of the target "{name}": '
        f"{' or '.join(map(repr, classes))}."
    )
