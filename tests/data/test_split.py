import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from raymm.artifacts import LEFT_OUT, Dataset, Interaction, Schema
from raymm.data import split
from raymm.errors import ConfigError, DataError

Maker = Callable[..., Any]


def columns(rows: int, classes: int = 2, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows) if classes else rng.normal(size=rows).round(4)
    names = [f"c{v}" for v in y] if classes else [str(v) for v in y]
    return {
        "x": rng.normal(size=rows),
        "y": names,
        "g": [f"g{v}" for v in rng.integers(0, 9, rows)],
    }


def check(data: Dataset, *, disjoint: bool = True, timed: bool = False) -> None:
    everything = np.sort(np.concatenate([data.train, data.test]))
    assert everything.tolist() == list(range(len(data.y)))
    validated = []
    for fold in data.folds:
        both = np.concatenate([fold.train, fold.valid])
        if not timed or fold is data.folds[0]:
            assert np.sort(both).tolist() == data.train.tolist()
        for rows in (fold.train, fold.valid, data.train, data.test):
            assert rows.dtype == np.int64
            assert len(rows) > 0
            assert (np.diff(rows) > 0).all()
        validated.append(fold.valid)
    together = np.concatenate(validated)
    assert len(together) == len(np.unique(together))


def test_test_rows_are_those_of_scikit_learn(made: Maker) -> None:
    for classes in (2, 5, 0):
        given = made(columns(300, classes))
        data = given.dataset(seed=7)
        expected = train_test_split(
            np.arange(300), test_size=0.2, random_state=7, stratify=data.y if classes else None
        )
        assert data.test.tolist() == sorted(expected[1].tolist())
        check(data)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "folds"), [(100, 5), (7000, 3), (16000, 1)])
def test_the_number_of_folds_follows_the_rows(rows: int, folds: int, made: Maker) -> None:
    for classes in (3, 0):
        data = made(columns(rows, classes)).dataset()
        assert len(data.folds) == folds
        check(data)
        share = 0.2 if folds == 1 else 1 / folds
        assert all(abs(len(f.valid) / len(data.train) - share) < 0.02 for f in data.folds)


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(2, 9), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_every_class_is_in_every_training_part(sizes: list[int], seed: int, made: Maker) -> None:
    y = [f"c{i}" for i, size in enumerate([*sizes, 9]) for _ in range(size)]
    data = made({"x": np.random.default_rng(seed).normal(size=len(y)), "y": y}).dataset(seed)
    check(data)
    every = set(range(len(sizes) + 1))
    assert set(data.y[data.train].tolist()) == every
    for fold in data.folds:
        assert set(data.y[fold.train].tolist()) == every


def test_the_same_seed_gives_the_same_split_and_another_another(made: Maker) -> None:
    first, same, other = (made(columns(300)).dataset(seed) for seed in (1, 1, 2))
    assert first.test.tolist() == same.test.tolist()
    assert [f.valid.tolist() for f in first.folds] == [f.valid.tolist() for f in same.folds]
    assert first.test.tolist() != other.test.tolist()


def test_rows_without_target_are_dropped_and_the_rest_stay_aligned(made: Maker) -> None:
    given = columns(100)
    given["y"][3] = ""
    given["y"][50] = "?"
    data = made(given).dataset()
    assert len(data.y) == len(data.frame) == len(data.tensors["x"]) == 98
    assert np.allclose(data.tensors["x"], data.frame["x"])
    assert [data.schema.classes[code] for code in data.y] == data.frame["y"].tolist()
    check(data)


def test_with_time_no_row_is_tested_on_its_future(made: Maker) -> None:
    given = columns(200)
    days = np.random.default_rng(1).permutation(200)
    given["when"] = np.datetime64("2020-01-01") + days.astype("timedelta64[D]")
    data = made(given, time="when").dataset()
    check(data, timed=True)
    kept = data.frame["when"].to_numpy()
    assert kept[data.train].max() < kept[data.test].min()
    for fold in data.folds:
        assert kept[fold.train].max() < kept[fold.valid].min()
    assert (len(data.test), [len(fold.valid) for fold in data.folds]) == (40, [32, 32, 32])
    assert "when" not in data.tensors
    # The latest first, and each foretold from all that lies before it.
    for later, earlier in itertools.pairwise(data.folds):
        assert np.union1d(earlier.train, earlier.valid).tolist() == later.train.tolist()


def test_many_rows_need_one_window_of_time(made: Maker) -> None:
    given = {**columns(16_000), "when": list(range(16_000))}
    data = made(given, time="when").dataset()
    assert len(data.folds) == 1


def test_a_window_of_time_without_a_class_is_left_out(made: Maker) -> None:
    given = {**columns(200), "when": list(range(200))}
    given["y"] = ["a"] * 100 + ["a", "b"] * 50
    data = made(given, time="when").dataset()
    # The training rows are the first 160: only what lies before the last window holds a "b".
    assert len(data.folds) == 1


def test_with_groups_no_group_is_on_two_sides(made: Maker) -> None:
    for rows in (200, 16_000):
        data = made(columns(rows), group="g").dataset()
        check(data)
        groups = data.frame["g"].to_numpy()
        for one, two in [(data.train, data.test), *((f.train, f.valid) for f in data.folds)]:
            assert not set(groups[one]) & set(groups[two])


def test_a_time_in_large_numbers_is_told_apart(made: Maker) -> None:
    given = columns(200)
    # Days as 20240101 and on: every second of them is no float32.
    given["when"] = 20_240_101 + np.random.default_rng(1).permutation(200)
    data = made(given, time="when").dataset()
    kept = data.frame["when"].to_numpy()
    assert kept[data.train].max() < kept[data.test].min()


def test_no_class_is_moved_across_time_or_groups(made: Maker) -> None:
    given = columns(200)
    given["when"] = list(range(1, 401, 2))
    given["y"] = ["a", "b"] * 75 + ["c"] * 50
    data = made(given, time="when").dataset()
    for early, late in [(data.train, data.test), *((f.train, f.valid) for f in data.folds)]:
        assert early.max() < late.min()
    given["g"] = [f"g{row // 20}" for row in range(200)]
    data = made({**given, "when": given["x"]}, group="g").dataset()
    groups = data.frame["g"].to_numpy()
    for fold in data.folds:
        assert not set(groups[fold.train]) & set(groups[fold.valid])


@pytest.mark.parametrize(("rows", "classes"), [(300, 2), (300, 0), (6000, 3), (14000, 2)])
def test_copies_of_a_row_stay_on_one_side(rows: int, classes: int, made: Maker) -> None:
    given = columns(rows, classes)
    at = np.random.default_rng(1).integers(0, rows, rows // 5)
    whole = {name: [*values, *(values[i] for i in at)] for name, values in given.items()}
    data = made(whole).dataset()
    check(data)
    kept = data.frame["x"].to_numpy()
    for one, two in [(data.train, data.test), *((f.train, f.valid) for f in data.folds)]:
        assert not set(kept[one]) & set(kept[two])
    # A copy changes sides with a probability of 0.16 each way: six standard deviations of as many.
    slack = 6 * np.sqrt(0.32 * len(at))
    assert abs(len(data.test) - 0.2 * len(data.y)) < slack
    if classes:
        tested = np.bincount(data.y[data.test])
        assert np.abs(tested - 0.2 * np.bincount(data.y)).max() < slack
    assert data.test.tolist() == made(whole).dataset().test.tolist()


def test_rows_alike_by_chance_are_split_as_ever(made: Maker) -> None:
    rng = np.random.default_rng(0)
    given = {"a": rng.choice(list("xyz"), 300), "b": rng.choice(list("pq"), 300)}
    data = made({**given, "y": ["u", "v"] * 150}).dataset(seed=3)
    expected = train_test_split(np.arange(300), test_size=0.2, random_state=3, stratify=data.y)
    assert data.test.tolist() == sorted(expected[1].tolist())


def test_copies_part_where_a_side_would_lack_a_class(made: Maker) -> None:
    x = np.random.default_rng(0).normal(size=60)
    x[:2] = 100.0
    data = made({"x": x, "y": ["rare"] * 2 + ["plain"] * 58}).dataset()
    assert set(data.y[data.train].tolist()) == {0, 1}
    check(data)


@pytest.mark.parametrize("few", [3, 4, 5, 6, 30])
def test_every_fold_has_both_of_two_classes(few: int, made: Maker) -> None:
    given = columns(200)
    given["y"] = ["rare"] * few + ["plain"] * (200 - few)
    data = made(given).dataset()
    check(data)
    assert len(data.folds) == min(5, int((data.y[data.train] == 1).sum()))
    for fold in data.folds:
        assert set(data.y[fold.valid].tolist()) == {0, 1}


@pytest.mark.parametrize("parted", [{}, {"time": "x"}, {"group": "g"}])
def test_a_rare_class_is_judged_on_several_folds(parted: dict[str, str], made: Maker) -> None:
    given = columns(16_000)
    given["y"] = ["rare" if row % 40 == 0 else "plain" for row in range(16_000)]
    data = made(given, **parted).dataset()
    check(data, timed="time" in parted)
    assert len(data.folds) == 3
    for fold in data.folds:
        assert set(data.y[fold.valid].tolist()) == {0, 1}
    if "time" not in parted:
        judged = np.concatenate([fold.valid for fold in data.folds])
        assert data.y[judged].sum() == data.y[data.train].sum()


@pytest.mark.parametrize(
    ("sizes", "folds"),
    [
        ((12_000, 20), 3),
        ((12_000, 999), 3),
        ((12_000, 1000), 1),
        ((999, 12_000), 3),
        ((12_000, 1), 1),
        ((13_000,), 1),
        ((99_000, 500), 3),
        ((100_000, 500), 1),
        ((12_000, 500, 500), 1),
        ((6000, 20), 3),
        ((3000, 20), 5),
    ],
)
def test_a_rare_class_needs_folds_where_a_fifth_holds_few_of_it(
    sizes: tuple[int, ...], folds: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(labels))
    assert split._fold_count(rows, labels) == folds
    # Labels of rows for the final test have no say.
    assert split._fold_count(rows, np.append(labels, np.repeat([0, 1], 5000))) == folds
    plain = 1 if len(labels) >= 12_000 else folds
    assert split._fold_count(rows, None) == plain


@pytest.mark.parametrize(("rows", "every"), [(400, 4), (1000, 10), (200, 5), (300, 6)])
def test_groups_of_one_class_each_are_spread_over_the_folds(
    rows: int, every: int, made: Maker
) -> None:
    given = columns(rows)
    given["g"] = [f"g{row // 10}" for row in range(rows)]
    given["y"] = ["rare" if row // 10 % every == 0 else "plain" for row in range(rows)]
    data = made(given, group="g").dataset()
    check(data)
    for fold in data.folds:
        assert set(data.y[fold.valid].tolist()) == {0, 1}


def test_what_is_excluded_is_no_feature_whatever_the_schema_says(made: Maker) -> None:
    plain = made(columns(100))
    config = plain.config.model_copy(update={"exclude": ("x",)})
    data = split.split(plain.table, plain.schema, config, seed=0)
    assert data.schema.column("x").role == "ignored"
    assert "x" not in data.tensors


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"target": "g"}, "data.target"),
        ({"task": "regression"}, "data.task"),
        ({"exclude": ("zz",)}, "data.exclude"),
        ({"time": "X"}, 'Did you mean "x"'),
        ({"group": "zz"}, "data.group"),
        ({"time": "g"}, "kind number or datetime"),
        ({"group": "y"}, "must not be the target"),
    ],
)
def test_a_schema_and_a_configuration_that_contradict_are_refused(
    update: dict[str, Any], words: str, made: Maker
) -> None:
    plain = made(columns(100))
    with pytest.raises(DataError, match=words):
        split.split(plain.table, plain.schema, plain.config.model_copy(update=update), seed=0)


def edited(schema: Schema, **roles: Any) -> Schema:
    changed = tuple(
        dataclasses.replace(column, role=roles.get(column.name, column.role))
        for column in schema.columns
    )
    return dataclasses.replace(schema, columns=changed)


def test_a_role_given_by_hand_parts_the_rows_as_the_configuration_would(made: Maker) -> None:
    table = columns(300) | {"t": np.random.default_rng(1).permutation(300)}
    for role, name in (("group", "g"), ("time", "t")):
        plain, named = made(table), made(table, **{role: name})
        data = split.split(plain.table, edited(plain.schema, **{name: role}), plain.config, seed=0)
        expected = named.dataset()
        assert name not in data.tensors
        assert data.test.tolist() == expected.test.tolist()
        assert [fold.valid.tolist() for fold in data.folds] == [
            fold.valid.tolist() for fold in expected.folds
        ]
        assert data.test.tolist() != plain.dataset().test.tolist()


def test_a_feature_that_the_configuration_names_parts_the_rows_and_stays_one(made: Maker) -> None:
    plain = made(columns(300))
    config = plain.config.model_copy(update={"group": "g"})
    data = split.split(plain.table, plain.schema, config, seed=0)
    assert "g" in data.tensors
    assert not set(data.frame["g"][data.train]) & set(data.frame["g"][data.test])


@pytest.mark.parametrize(
    ("roles", "update", "words"),
    [
        ({"g": "group"}, {"group": "h"}, "Change one of them"),
        ({"x": "time"}, {"group": "g"}, "together"),
        ({"x": "time", "g": "group"}, {}, "together"),
        ({"g": "group", "h": "group"}, {}, "One column at most"),
        ({"g": "time"}, {}, "kind number or datetime"),
    ],
)
def test_roles_that_contradict_are_refused(
    roles: dict[str, str], update: dict[str, str], words: str, made: Maker
) -> None:
    plain = made(columns(100) | {"h": ["a", "b", "c", "d"] * 25})
    config = plain.config.model_copy(update=update)
    with pytest.raises(DataError, match=words):
        split.split(plain.table, edited(plain.schema, **roles), config, seed=0)


def test_what_cannot_be_split_is_a_data_error(made: Maker) -> None:
    few = columns(100) | {"g": ["a", "b"] * 50}
    with pytest.raises(DataError, match="three groups"):
        made(few, group="g").dataset()
    both = columns(100) | {"t": list(range(0, 200, 2))}
    with pytest.raises((DataError, ConfigError), match="together"):
        made(both, group="g", time="t").dataset()


def test_the_smallest_table_can_be_split(made: Maker) -> None:
    for share in (0.01, 0.2, 0.89):
        if share < 0.8:
            check(made(columns(10, 0), task="regression", test=share).dataset())
        else:
            with pytest.raises(DataError, match="training"):
                made(columns(10, 0), task="regression", test=share).dataset()


def test_where_rows_stand_in_the_table_is_kept(made: Maker) -> None:
    raw = columns(400)
    assert made(raw).dataset().origin is None
    raw["x"], raw["y"][3], raw["y"][250] = np.arange(400.0), "", ""
    kept = np.setdiff1d(np.arange(400), [3, 250])
    np.testing.assert_array_equal(made(raw).dataset().origin, kept)
    few = made(raw, rows=100).dataset()
    assert few.origin is not None
    np.testing.assert_array_equal(few.origin, few.frame["x"].astype(np.int64))
    assert set(few.origin.tolist()) <= set(kept.tolist())


def left_out(schema: Schema, *names: str) -> Schema:
    return dataclasses.replace(
        schema,
        columns=tuple(
            dataclasses.replace(one, role="ignored", reason=LEFT_OUT) if one.name in names else one
            for one in schema.columns
        ),
    )


def test_a_schema_with_columns_left_out_splits_rows_as_before(made: Maker) -> None:
    # Rows that differ in the noise alone are copies once it is left out, and would move together.
    rows = np.arange(600) % 200
    given = {
        "x": rows.astype(float),
        "noise": np.random.default_rng(0).normal(size=600),
        "y": [f"c{v % 2}" for v in rows],
    }
    plain = made(given)
    table, schema, config = plain.table, plain.schema, plain.config
    first = split.split(table, schema, config, seed=0)
    second = split.again(table, left_out(schema, "noise"), config, seed=0)
    assert first.test.tolist() == second.test.tolist()
    assert [one.valid.tolist() for one in first.folds] == [
        one.valid.tolist() for one in second.folds
    ]
    assert list(second.tensors) == ["x"]
    assert [one.name for one in second.schema.features] == ["x"]
    other = split.split(table, left_out(schema, "noise"), config, seed=0)
    assert other.test.tolist() != first.test.tolist()


def test_an_interaction_goes_with_a_column_that_is_excluded(made: Maker) -> None:
    plain = made(columns(100))
    pairs = tuple(Interaction(first="x", second=name, operation="sum") for name in ("x", "g"))
    schema = dataclasses.replace(plain.schema, interactions=pairs)
    config = plain.config.model_copy(update={"exclude": ("g",)})
    assert split.agreed(schema, config, plain.table.frame).interactions == pairs[:1]
    assert split.agreed(plain.schema, config, plain.table.frame).interactions is None
