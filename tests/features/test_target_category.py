import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.features import target_category
from raymm.features.target_category import (
    CLASSES,
    ScaledTargetCategory,
    TargetCategory,
    strength,
    suits,
)

COLUMN = Column(name="c", kind="category")
KINDS = [TargetCategory, ScaledTargetCategory]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
LISTS = st.lists(st.sampled_from(["", "a", "b", "ü"]) | TEXT, min_size=1, max_size=60)


def words(codes):
    return np.array([f"w{code}" for code in codes], dtype=object)


def table(rows, levels, effect=1.0, seed=0):
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, levels, rows)
    means = generator.normal(size=levels) * effect
    return codes, means, means[codes] + generator.normal(size=rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(LISTS, LISTS, st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_graph_equals_transform_for_any_words(run_graph, kind, train, values, classes):
    made = [np.array(part, dtype=object) for part in (train, values)]
    part = kind(COLUMN).fit(made[0], np.arange(len(train)) % classes)
    np.testing.assert_array_equal(run_graph(part, made[1]), part.transform(made[1]))


def test_a_row_never_sees_its_own_target():
    codes, _, y = table(600, 150)
    values, moved = words(codes), y.copy()
    moved[7] += 3.0
    made = []
    for target in (y, moved):
        part = TargetCategory(COLUMN).fit(values, target)
        part.strengths = dict.fromkeys(part.strengths, 5.0)
        made.append(part.training(values, target)[:, 0])
    # Only by way of the overall mean, which moves by 3 / 600 and counts for less than all.
    assert 0 <= (made[1] - made[0])[7] <= 3 / 600 + 1e-6
    # Other rows of its level, of which there are some, do see it.
    assert np.max(made[1] - made[0]) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_effect_training_rows_learn_nothing(kind):
    generator = np.random.default_rng(1)
    codes, y = generator.integers(0, 1000, 4000), generator.integers(0, 2, 4000)
    made = kind(COLUMN).fit(words(codes), y).training(words(codes), y)
    # Six standard deviations of the correlation of 4,000 independent pairs.
    for column in made.T[made.std(axis=0) > 0]:
        assert abs(np.corrcoef(column, y)[0, 1]) < 6 / np.sqrt(4000)


def test_statistics_of_new_rows_follow_the_levels_means():
    codes, means, y = table(4000, 200)
    part = TargetCategory(COLUMN).fit(words(codes), y)
    made = part.transform(words(range(200)))
    assert np.corrcoef(made[:, 0], means)[0, 1] > 0.95
    np.testing.assert_allclose(np.expm1(made[:, 1]), np.bincount(codes, minlength=200), rtol=1e-5)


def test_an_unseen_level_gets_the_overall_mean_and_no_rows():
    codes, _, y = table(2000, 100)
    made = TargetCategory(COLUMN).fit(words(codes), y).transform(words([-1]))
    np.testing.assert_allclose(made[0], [y.mean(), 0.0], rtol=1e-5)


def test_strength_is_the_ratio_of_the_variances():
    # Variance within 1, between effect ** 2: m = 1 / effect ** 2 = 4. The estimate's relative
    # deviation with 2,000 levels of 20 rows is about sqrt(2 / 2000) * (1 + 4 / 20) = 0.04.
    codes, _, y = table(40_000, 2000, effect=0.5)
    assert strength(codes, y, 2000) == pytest.approx(4.0, rel=0.24)


def test_levels_that_do_not_matter_have_no_strength():
    # The ratio exceeds two deviations by chance in one table of 40; of 40 tables, more than 8
    # have a probability below 1e-6.
    found = [strength(*table(500, 50, effect=0.0, seed=s)[::2], 50) for s in range(40)]
    assert sum(value is not None for value in found) <= 8
    assert strength(np.arange(5), np.arange(5.0), 5) is None


def test_several_classes_have_a_share_each_up_to_a_limit():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 60, 6000)
    y = (codes + generator.integers(0, 3, 6000)) % (CLASSES + 4)
    names = TargetCategory(COLUMN).fit(words(codes), y).names
    assert len(names) == CLASSES + 1
    y = codes % 3
    shares = TargetCategory(COLUMN).fit(words(codes), y).transform(words(codes))[:, :3]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares.argmax(axis=1) == y).all()


def test_scaled_features_are_standardised_over_the_training_rows():
    codes, _, y = table(3000, 300)
    values = words(codes)
    made = ScaledTargetCategory(COLUMN).fit(values, y).training(values, y)[:, :2]
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(made.std(axis=0), 1, atol=1e-4)


def test_the_most_frequent_levels_alone_are_kept(monkeypatch):
    monkeypatch.setattr(target_category, "LEVELS", 2)
    codes = np.array([0] * 5 + [1] * 3 + [2] * 4 + [3])
    part = TargetCategory(COLUMN).fit(words(codes), np.arange(13) % 2)
    rows = part.transform(words([0, 1, 2, 3, 4]))[:, -1]
    np.testing.assert_allclose(np.expm1(rows), [5, 0, 4, 0, 0], rtol=1e-5)


def test_many_levels_with_few_rows_each_suit():
    assert suits(words(np.arange(3000) % 30))
    assert not suits(words(np.arange(3000) % 20))
    assert not suits(words(np.arange(9000) % 30))


@pytest.mark.parametrize("word", ["never seen", ""])
def test_what_training_lacks_is_taken_as_the_nearest_that_it_has(run_graph, word):
    """A hundred rows a level: their logarithm hardly varies, and that of none lies far away."""
    codes, means, y = table(6000, 60, effect=3.0)
    part = ScaledTargetCategory(COLUMN).fit(words(codes), y)
    trained = part.training(words(codes), y)
    new = np.array([word, "w7"], dtype=object)
    made = part.transform(new)
    assert (made[0, :2] >= trained.min(axis=0)[:2]).all()
    assert (made[0, :2] <= trained.max(axis=0)[:2]).all()
    np.testing.assert_array_equal(run_graph(part, new), made)
    weights = np.linalg.lstsq(np.column_stack([np.ones(len(y)), trained[:, :2]]), y, rcond=None)[0]
    guessed = weights @ [1.0, *made[0, :2]]
    assert abs(guessed - y.mean()) < 2 * means.std()
