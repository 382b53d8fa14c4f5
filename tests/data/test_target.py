from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.data import ingest
from raymm.data.schema import infer
from raymm.data.statistics import describe
from raymm.errors import DataError
from raymm.sections import DataConfig

Maker = Callable[..., Any]
N = 200
RNG = np.random.default_rng(0)


def plain(**columns: Any) -> dict[str, Any]:
    base = {"x": RNG.normal(size=N).round(3).astype(str), "y": np.tile(["no", "yes"], N // 2)}
    return {**base, **columns}


def repeat(*words: Any) -> list[Any]:
    return [words[i % len(words)] for i in range(N)]


TASKS = [
    (repeat("b", "a"), {}, "binary", ("a", "b")),
    (repeat("b", "a"), {"positive": "a"}, "binary", ("b", "a")),
    (repeat("1", "0"), {"positive": "0.0"}, "binary", ("1", "0")),
    (repeat("10", "9", "2"), {}, "multiclass", ("2", "9", "10")),
    (repeat("c", "b", "a"), {}, "multiclass", ("a", "b", "c")),
    (repeat("b", "a"), {"task": "multiclass"}, "multiclass", ("a", "b")),
    (repeat(1.0, 0.0), {}, "binary", ("0", "1")),
    (repeat(True, False), {}, "binary", ("False", "True")),
    (repeat("1.5", "2.5", "3.5"), {}, "regression", ()),
    ([str(i) for i in range(N)], {}, "regression", ()),
    (repeat("1", "2", "3"), {"task": "regression"}, "regression", ()),
    (repeat("None", "Low", "High"), {}, "multiclass", ("High", "Low", "None")),
    ([*repeat("a", "b")[:-1], "lonely"], {}, "binary", ("a", "b")),
]


@pytest.mark.parametrize(("y", "options", "task", "classes"), TASKS)
def test_the_task_and_the_order_of_classes(
    y: Any, options: Any, task: str, classes: tuple[str, ...], made: Maker
) -> None:
    schema = made(plain(y=y), **options).schema
    assert (schema.task, schema.classes) == (task, classes)


WRONG = [
    ({"target": "Y "}, {}, 'Did you mean "y"'),
    ({"time": "X"}, {}, 'Did you mean "x"'),
    ({"exclude": ("z",)}, {}, "data.exclude"),
    ({"exclude": ("y",)}, {}, "must not hold the target"),
    ({"time": "y"}, {}, "different columns"),
    ({"positive": "maybe"}, {}, "'no' or 'yes'"),
    ({"task": "regression"}, {}, "regression"),
    ({"task": "binary"}, {"y": repeat("a", "b", "c")}, "has 3 classes"),
    ({"positive": "a"}, {"y": repeat("a", "b", "c")}, "two classes"),
    ({}, {"y": ["one"] * N}, "two different values"),
    ({}, {"y": [""] * N}, "has one in 0"),
    ({}, {"y": ["a"] * 5 + ["b"] * 4 + [""] * (N - 9)}, "has one in 9"),
    ({}, {"y": ["a"] * (N - 1) + ["b"]}, "two rows"),
    ({}, {"y": [f"k{i}" for i in range(N)]}, "classes that repeat.* without units"),
    ({}, {"y": ["a"] * (N - 1) + ["b"]}, "but only 'a' has"),
    ({}, {"y": repeat("2020-01-01", "2020-01-02")}, "dates"),
    ({"time": "w"}, {"w": repeat("a", "b")}, "dates or numbers"),
]


@pytest.mark.parametrize(("options", "columns", "words"), WRONG)
def test_what_cannot_be_learnt_is_a_data_error(
    options: Any, columns: Any, words: str, made: Maker
) -> None:
    with pytest.raises(DataError, match=words):
        made(plain(**columns), **options)


def test_rows_that_were_left_out_are_told_with_it(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("x,y\n" + "".join(f"{n},ja\n" for n in range(40)) + "1,nein,2\n" * 5)
    table = ingest.read(str(path))
    with pytest.raises(DataError, match=r"every row holds 'ja'.*5 rows have more cells"):
        infer(table, describe(table), DataConfig(source=str(path), target="y"))
