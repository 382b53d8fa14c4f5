import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from raymm.data.skew import skew

N = 1000


def told(dataset: Any) -> dict[str, str]:
    return {one.column or one.rule: one.observed for one in skew(dataset)}


def columns() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    late = np.arange(N) > 700
    return {
        "t": range(N),
        "moved": rng.normal(size=N) + late,
        "renamed": np.where(late, rng.choice(["a", "c"], N), rng.choice(["a", "b"], N)),
        "lost": np.where(late & (rng.random(N) < 0.5), np.nan, rng.normal(size=N)),
        "still": rng.normal(size=N),
        "word": rng.choice(["a", "b", "c"], N),
        "y": rng.choice(["no", "yes"], N),
    }


def test_what_changes_with_time_is_told_and_what_does_not_is_not(made: Callable[..., Any]) -> None:
    assert set(told(made(columns(), time="t").dataset())) == {"moved", "renamed", "lost"}


def test_what_it_means_depends_on_how_rows_are_split(made: Callable[..., Any]) -> None:
    given = columns()
    (one,) = [a for a in skew(made(given, time="t").dataset()) if a.column == "moved"]
    assert "the newest by t, as data.time asks" in one.remedy
    given["shop"] = np.arange(N) // 250
    given["moved"] = given["moved"] + given["shop"]
    found = [a for a in skew(made(given, group="shop").dataset()) if a.column == "moved"]
    assert found
    assert "other groups of shop, as data.group asks" in found[0].remedy
    same = made(columns(), exclude=("t",)).dataset()
    apart = dataclasses.replace(same, train=np.arange(700), test=np.arange(700, N))
    assert any("see that new rows will be like them" in a.remedy for a in skew(apart))


def test_a_random_split_has_no_skew(made: Callable[..., Any]) -> None:
    for seed in range(3):
        assert told(made(columns(), exclude=("t",)).dataset(seed)) == {}


def test_a_target_that_changes_is_told(made: Callable[..., Any]) -> None:
    for y in (np.where(np.arange(N) > 700, "yes", columns()["y"]), np.arange(N) * 1.5):
        assert "y" in told(made({**columns(), "y": y}, time="t").dataset())


def test_the_distance_is_that_of_kolmogorov_and_smirnov(made: Callable[..., Any]) -> None:
    from scipy.stats import ks_2samp

    data = made(columns(), time="t").dataset()
    x = data.tensors["moved"]
    expected = ks_2samp(x[data.train], x[data.test]).statistic
    assert f"{expected:.2f}" in told(data)["moved"]


def test_copies_on_both_sides_are_counted(made: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    half = {"x": rng.normal(size=200), "y": rng.choice(["a", "b"], 200)}
    both = {name: np.tile(values, 2) for name, values in half.items()}
    assert told(made(both).dataset()) == {}
    timed = made({**both, "t": range(400)}, time="t").dataset()
    assert told(timed)["duplicates across the split"].startswith("80 test rows (100.0%)")
    few = made({"x": rng.integers(0, 4, 200), "w": rng.choice(["a", "b"], 200), "y": half["y"]})
    assert told(few.dataset()) == {}


def test_words_kept_as_codes_are_compared_too(made: Callable[..., Any]) -> None:
    given = columns()
    given["renamed"] = pd.Categorical(given["renamed"])
    data = made(given, time="t").dataset()
    assert "renamed" in told(data)
    assert "renamed" not in told(dataclasses.replace(data, train=data.test))
