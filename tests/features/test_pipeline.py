import re
import time

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Column, Schema
from raymm.errors import DataError
from raymm.features import pipeline
from raymm.features.pipeline import TRANSFORMS, fit_features, fit_training, safe_names
from raymm.onnx_builder import FLOAT, INT64, GraphBuilder
from raymm.plugins import transforms


def schema(*columns):
    return Schema(
        columns=(*columns, Column(name="y", kind="number", role="target")),
        target="y",
        task="binary",
        classes=("0", "1"),
    )


MIXED = schema(
    Column(name="n 1", kind="number"),
    Column(name="same", kind="number"),
    Column(name="ü", kind="category"),
    Column(name="skipped", kind="number", role="ignored"),
)


def tensors(rows):
    generator = np.random.default_rng(0)
    return {
        "n 1": generator.normal(size=rows).astype(np.float32),
        "same": np.ones(rows, dtype=np.float32),
        "ü": generator.choice(np.array(["a", "b", "c"], dtype=object), size=rows),
    }


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_features_are_described_one_by_one_and_constants_dropped(encoding):
    given_rows = tensors(300)
    features = fit_features(given_rows, np.arange(300) % 2, MIXED, encoding)
    x = features.transform(given_rows)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert x.shape[1] == len(features.names) == len(features.safe_names) == len(features.columns)
    assert (np.ptp(x, axis=0) > 0).all()
    assert set(features.columns) == {"n 1", "ü"}
    for name, column in zip(features.names, features.columns, strict=True):
        assert name.startswith(column)


def test_rows_are_transformed_one_by_one():
    given_rows = tensors(50)
    features = fit_features(given_rows, np.arange(50) % 2, MIXED, "dense")
    whole = features.transform(given_rows)
    for row in range(0, 50, 7):
        single = {name: values[row : row + 1] for name, values in given_rows.items()}
        np.testing.assert_array_equal(features.transform(single)[0], whole[row])


def test_a_gap_alone_makes_a_feature_vary():
    values = np.array([1, np.nan, 1], dtype=np.float32)
    one = schema(Column(name="x", kind="number"))
    for encoding in TRANSFORMS:
        assert fit_features({"x": values}, np.array([0, 1, 0]), one, encoding).names


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [(schema(), "at least one column"), (MIXED, "the same in all 1 training rows")],
)
def test_a_table_without_features_is_refused(wanted, rule):
    one_row = {name: values[:1] for name, values in tensors(3).items()}
    with pytest.raises(DataError, match=rule):
        fit_features(one_row, np.array([0]), wanted, "ordinal")


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_why_no_column_makes_a_feature_is_told(encoding):
    columns = (
        Column(name="kunde", kind="category"),
        Column(name="satz", kind="text"),
        Column(name="one", kind="number"),
        Column(name="id", kind="number", role="ignored", reason="whole numbers, like a key"),
    )
    values = {
        "kunde": np.array([f"K{n}" for n in range(90)], dtype=object),
        "satz": np.array([f"kunde k{n:02d}x" for n in range(90)], dtype=object),
        "one": np.full(90, np.nan, np.float32),
    }
    with pytest.raises(DataError) as caught:
        fit_features(values, np.arange(90) % 2, schema(*columns), encoding, crossed=True)
    told = str(caught.value)
    assert '"kunde" has 90 values in 90 rows, none in more than 1, which is too rare' in told
    assert '"satz" has 90 values in 90 rows, whose words are each in too few rows' in told
    assert '"one" is the same in all 90 training rows' in told
    assert 'Left out before: "id" (whole numbers, like a key).' in told


@given(st.lists(st.text(max_size=4), max_size=12), st.lists(st.sampled_from("ab"), max_size=2))
def test_safe_names_are_legal_and_unique(names, reserved):
    safe = safe_names(names, reserved)
    assert len(safe) == len(names)
    assert len({*safe, *reserved}) == len(safe) + len(set(reserved))
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in safe)


def test_a_large_table_keeps_the_features_that_vary_most(monkeypatch):
    generator = np.random.default_rng(0)
    words = np.array([f"w{code:02}" for code in range(40)], dtype=object)
    share = np.arange(10, 50) / np.arange(10, 50).sum()
    given = {"ü": generator.choice(words, size=4000, p=share)}
    plain = schema(Column(name="ü", kind="category"))
    y = generator.integers(0, 2, 4000)
    whole = fit_features(given, y, plain, "dense")
    monkeypatch.setattr(pipeline, "CELLS", 10 * 4000)
    small = fit_features(given, y, plain, "dense")
    assert len(whole.names) == 40
    # The most frequent words are the largest codes; a share below a half varies as it grows.
    counts = {word: int((given["ü"] == word).sum()) for word in words}
    expected = {f"ü = {word}" for word in sorted(counts, key=counts.__getitem__)[-10:]}
    assert set(small.names) == expected
    places = [whole.names.index(name) for name in small.names]
    np.testing.assert_array_equal(small.transform(given), whole.transform(given)[:, places])


def test_forty_thousand_rows_take_well_below_a_second():
    rows, generator = 40_000, np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(100)], dtype=object)
    columns = [Column(name=f"n{i}", kind="number") for i in range(8)]
    columns += [Column(name=f"c{i}", kind="category") for i in range(6)]
    columns += [Column(name="d", kind="datetime")]
    table = {f"n{i}": generator.normal(size=rows).astype(np.float32) for i in range(8)}
    table |= {f"c{i}": generator.choice(words, size=rows) for i in range(6)}
    table["d"] = generator.integers(0, 2 * 10**9, size=rows)
    features = fit_features(table, np.arange(rows) % 2, schema(*columns), "ordinal")
    start = time.process_time()
    features.transform(table)
    # 15 ms measured; ten times that still is well below a second on a slow machine.
    assert time.process_time() - start < 0.5


CROWDED = schema(Column(name="n", kind="number"), Column(name="ü", kind="category"))


def crowded(rows=600, levels=200):
    generator = np.random.default_rng(0)
    codes = generator.integers(0, levels, rows)
    table = {
        "n": generator.normal(size=rows).astype(np.float32),
        "ü": np.array([f"w{code}" for code in codes], dtype=object),
    }
    effect = generator.normal(0, 2, size=levels)
    return table, (effect[codes] + generator.logistic(size=rows) > 0).astype(np.int64)


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_only_rows_made_for_training_hide_their_own_target(encoding):
    table, y = crowded()
    features = fit_features(table, y, CROWDED, encoding, crossed=True)
    x, seen = features.training(table, y), features.transform(table)
    assert x.shape == seen.shape
    place = features.names.index("ü target share")
    others = [i for i in range(x.shape[1]) if i != place]
    np.testing.assert_array_equal(x[:, others], seen[:, others])
    same = [np.corrcoef(made[:, place], y)[0, 1] for made in (x, seen)]
    assert 0.2 < same[0] < same[1] - 0.1


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_what_is_learnt_from_is_made_once_while_features_are_fitted(encoding, monkeypatch):
    table, y = crowded()
    table["n"][:3] = np.nan
    made = []
    number = transforms.get(TRANSFORMS[encoding]["number"])
    plain = number.training
    monkeypatch.setattr(number, "training", lambda *given: made.append(1) or plain(*given))
    features, x = fit_training(table, y, CROWDED, encoding, crossed=True)
    assert made == [1]
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, features.training(table, y))
    assert features.names == fit_features(table, y, CROWDED, encoding, crossed=True).names


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_without_crossing_no_feature_is_a_statistic_of_the_target(encoding):
    table, y = crowded()
    features = fit_features(table, y, CROWDED, encoding)
    assert not any("target" in name for name in features.names)
    np.testing.assert_array_equal(features.training(table, y), features.transform(table))


def dated(count, rows=300):
    generator = np.random.default_rng(count)
    plan = schema(
        Column(name="n", kind="number"),
        *(Column(name=f"d{i}", kind="datetime") for i in range(count)),
    )
    table = {f"d{i}": generator.integers(10**9, 2 * 10**9, rows) for i in range(count)}
    table["n"] = generator.normal(size=rows).astype(np.float32)
    for place, part in enumerate(list(table.values())[:-1]):
        part[place :: 10 + place] = NO_TIME
    return plan, table


def graph_of(features, plan):
    builder = GraphBuilder()
    kinds = {"number": FLOAT, "datetime": INT64}
    inputs = {c.name: builder.input(c.name, kinds[c.kind]) for c in plan.features}
    result = features.to_onnx(builder, inputs)
    model = builder.model([(result, "features", FLOAT, ["n", len(features.names)])])
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_the_days_between_dates_join_behind_all_columns_and_count_for_the_first(encoding):
    plan, table = dated(3)
    features = fit_features(table, np.arange(300) % 2, plan, encoding)
    start = next(i for i, name in enumerate(features.names) if " to " in name)
    assert not any(" to " in name for name in features.names[:start])
    for name, column in zip(features.names[start:], features.columns[start:], strict=True):
        assert name.startswith(f"{column} to d")
    assert [n for n in features.names if n.endswith(" days")] == [
        f"d{i} to d{j} days" for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    session = onnxruntime.InferenceSession(
        graph_of(features, plan), providers=["CPUExecutionProvider"]
    )
    [graph] = session.run(None, {name: part[:, None] for name, part in table.items()})
    if encoding == "ordinal":
        np.testing.assert_array_equal(graph, features.transform(table))
    else:
        np.testing.assert_allclose(graph, features.transform(table), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("encoding", TRANSFORMS)
def test_dates_a_constant_time_apart_have_no_difference(encoding):
    plan, table = dated(2)
    table["d1"] = np.where(table["d0"] == NO_TIME, NO_TIME, table["d0"] + 86_400)
    features = fit_features(table, np.arange(300) % 2, plan, encoding)
    assert not any(" to " in name for name in features.names)


@pytest.mark.parametrize("encoding", TRANSFORMS)
@pytest.mark.parametrize("count", [0, 1, 7])
def test_tables_of_no_one_or_many_dates_are_as_they_would_be_without_pairs(
    encoding, count, monkeypatch
):
    plan, table = dated(count)
    y = np.arange(300) % 2
    features = fit_features(table, y, plan, encoding)
    monkeypatch.setattr(pipeline, "date_pairs", lambda columns: ())
    plain = fit_features(table, y, plan, encoding)
    assert features.names == plain.names
    assert graph_of(features, plan) == graph_of(plain, plan)
    np.testing.assert_array_equal(features.transform(table), plain.transform(table))


def test_only_training_rows_decide_which_dates_have_a_difference():
    plan, table = dated(2)
    table["d1"][:100] = table["d0"][:100] + 5
    inside = {name: part[:100] for name, part in table.items()}
    y = np.arange(100) % 2
    assert not any(" to " in name for name in fit_features(inside, y, plan, "dense").names)


def test_only_columns_named_so_are_nominal_with_as_many_categories_as_they_have():
    random = np.random.default_rng(0)
    rows = 3000
    day = random.integers(0, 90, rows)
    tensors = {
        "number": random.normal(size=rows).astype(np.float32),
        "day": 86_400 * (10 + day) + 3600 * random.integers(6, 20, rows),
        "word": random.integers(0, 8, rows).astype(str).astype(object),
    }
    kinds = {"number": "number", "day": "datetime", "word": "category"}
    columns = tuple(Column(name=name, kind=kind) for name, kind in kinds.items())
    schema = Schema(columns=columns, target="y", task="regression")
    y = random.normal(size=rows)
    features = fit_features(tensors, y, schema, "ordinal", crossed=True, nominal=set(kinds))
    found = {features.names[place]: size for place, size in features.nominal}
    assert found == {"day elapsed": 90, "word": 9}
    x = features.transform(tensors)
    assert (x[:, features.names.index("day elapsed")].astype(int) == day).all()
    some = fit_features(tensors, y, schema, "ordinal", crossed=True, nominal={"day"})
    assert [some.names[place] for place, _ in some.nominal] == ["day elapsed"]
    assert fit_features(tensors, y, schema, "ordinal", crossed=True).nominal == ()
    assert fit_features(tensors, y, schema, "dense", nominal=set(kinds)).nominal == ()
