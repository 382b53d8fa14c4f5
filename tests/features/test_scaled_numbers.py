import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column, Schema
from raymm.features.pipeline import fit_features
from raymm.features.scaled_numbers import FARTHEST, ScaledNumbers, suitable

COLUMNS = tuple(Column(name=name, kind="number") for name in ("a", "b", "c"))
CELL = st.floats(width=32, allow_nan=True, allow_infinity=True)


def fitted(tensors):
    part = ScaledNumbers(COLUMNS)
    return part.fit(part.take(tensors), np.zeros(0))


def training(rows=400):
    generator = np.random.default_rng(0)
    scales = {"a": (2000.0, 3.0), "b": (0.0, 1e-20), "c": (-1e12, 1e11)}
    return {
        name: generator.normal(*scale, size=rows).astype(np.float32)
        for name, scale in scales.items()
    }


@pytest.mark.slow
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_the_graph_makes_the_same_bits_and_they_are_bounded(run_columns, rows):
    part = fitted(training())
    values = np.array(rows, dtype=np.float32)
    tensors = {one.name: values[:, place].copy() for place, one in enumerate(COLUMNS)}
    made = part.transform(part.take(tensors))
    assert np.abs(made).max() <= FARTHEST
    np.testing.assert_array_equal(run_columns(part, tensors), made)


def test_columns_of_any_unit_come_to_one_scale_and_what_is_missing_is_the_mean():
    tensors = training()
    part = fitted(tensors)
    made = part.transform(part.take(tensors))
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=0.07)
    np.testing.assert_allclose(made.std(axis=0), 1, atol=0.07)
    gaps = {name: np.full(1, np.nan, np.float32) for name in tensors}
    assert not part.transform(part.take(gaps)).any()


def test_its_constants_have_few_digits():
    part = fitted(training())
    share = np.frexp(part.factor.astype(np.float64))[0]
    np.testing.assert_array_equal(share * 16 % 1, 0)
    assert part.mean[0] * 8 % 1 == 0


def test_it_suits_columns_without_gaps_or_values_far_out():
    generator = np.random.default_rng(1)
    tensors = {
        "plain": generator.normal(size=300).astype(np.float32),
        "flag": (np.arange(300) % 100 == 0).astype(np.float32),
        "same": np.ones(300, np.float32),
        "gaps": np.where(np.arange(300) < 3, np.nan, generator.normal(size=300)).astype(np.float32),
        "code": np.where(np.arange(300) < 4, -9999, np.arange(300) % 20).astype(np.float32),
        "large": np.where(np.arange(300) % 2, -3e38, 3e38).astype(np.float32),
        "tiny": (np.arange(300) % 2 * 1e-40).astype(np.float32),
        "skewed": np.exp(4 * generator.normal(size=300)).astype(np.float32),
    }
    columns = tuple(Column(name=name, kind="number") for name in tensors)
    assert [one.name for one in suitable(columns, tensors)] == ["plain", "flag", "large"]
    word = Column(name="word", kind="category")
    assert suitable((word,), {"word": np.array(["x", "y"], object)}) == ()


def test_a_compact_encoding_has_one_part_for_them_and_the_dense_ones_for_others():
    generator = np.random.default_rng(2)
    names = ("a", "gaps", "b")
    tensors = {name: generator.normal(size=200).astype(np.float32) for name in names}
    tensors["gaps"][:9] = np.nan
    tensors["word"] = generator.choice(["x", "y"], 200).astype(object)
    schema = Schema(
        columns=(
            *(Column(name=name, kind="number") for name in names),
            Column(name="word", kind="category"),
            Column(name="y", kind="number", role="target"),
        ),
        target="y",
        task="regression",
    )
    features = fit_features(tensors, np.zeros(200), schema, "compact")
    dense = fit_features(tensors, np.zeros(200), schema, "dense")
    assert features.names[:2] == features.columns[:2] == ("a", "b")
    assert features.sources[:2] == (("a",), ("b",))
    assert set(features.names) == set(dense.names) - {"a rank", "b rank"}
    made = features.transform(tensors)
    assert made.shape == (200, len(features.names))
    assert np.isfinite(made).all()
