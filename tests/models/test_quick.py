import numpy as np
import pytest

from raymm.models.quick import Quick, gains


def rows(seed=0, count=600):
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return x, x[:, 0].astype(np.float64) * 2


def test_gains_name_the_column_that_tells():
    x, y = rows()
    booster = Quick(task="regression", classes=0, seed=0, threads=1).fit(x, y, 20)
    found = gains(booster)
    assert found[0] > 0.9 * found.sum()


@pytest.mark.parametrize("absolute", [False, True])
def test_losses_are_errors_after_the_best_number_of_rounds(absolute):
    x, y = rows()
    quick = Quick(task="regression", classes=0, seed=0, threads=1, absolute=absolute)
    booster = quick.fit(x, y, 40)
    new, truth = rows(1)
    error = truth - booster.predict(new)
    found = quick.losses(booster, new, truth)
    assert found.shape == (600,)
    assert quick.mean(found) <= quick.mean(np.abs(error)) + 1e-12
    assert quick.mean(np.array([3.0, 1.0])) == (2.0 if absolute else 5.0)


def test_losses_of_classes_are_those_of_their_probabilities():
    x, y = rows()
    new, truth = rows(1)
    for classes, edges in ((2, [0.0]), (3, [-1.0, 1.0])):
        task = "binary" if classes == 2 else "multiclass"
        quick = Quick(task=task, classes=classes, seed=0, threads=1)
        codes, known = (np.searchsorted(edges, one) for one in (y, truth))
        booster = quick.fit(x, codes, 10)
        made = booster.predict(new)
        own = np.where(known == 1, made, 1 - made) if classes == 2 else made[range(600), known]
        # Ten rounds get better to the last, so all of them are what is judged.
        np.testing.assert_allclose(quick.losses(booster, new, known), -np.log(own), rtol=1e-6)


def test_a_start_is_learnt_on_from():
    x, y = rows()
    quick = Quick(task="regression", classes=0, seed=0, threads=1)
    left = gains(quick.fit(x, y, 10, start=y))
    assert left.sum() < 1e-6 * gains(quick.fit(x, y, 10)).sum()
