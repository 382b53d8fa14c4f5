"""Trials: the ladder, the best rung, and that stepping gives what one fit gives."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle import pipeline
from raymm.models.family import Matrix
from raymm.search.trial import FLOOR, PATIENCE, Prepared, Rung, Trend, TrialRun, ladder, prepare


@given(st.integers(1, 5000))
def test_the_ladder_climbs_to_its_top(largest: int) -> None:
    steps = ladder(largest)
    assert steps[-1] == largest
    assert list(steps) == sorted(set(steps))
    # Each step is half as much again, give or take the rounding of both ends.
    assert all(high <= 1.5 * low + 2 for low, high in itertools.pairwise(steps))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.booleans())
def test_the_trend_keeps_the_best_and_ends_after_patience(
    values: list[float], maximize: bool
) -> None:
    trend, best = Trend(maximize), max if maximize else min
    for position, value in enumerate(values):
        go_on = trend.add(Rung(rounds=FLOOR + position, value=value))
        assert trend.best is not None
        assert trend.best.value == best(values[: position + 1])
        since = position - values.index(trend.best.value)
        assert go_on == (since < PATIENCE)


def test_below_the_floor_a_flat_curve_does_not_end_a_trial() -> None:
    trend = Trend(maximize=True)
    assert all(trend.add(Rung(rounds=rounds, value=0.9)) for rounds in (20, 26, 34, 44, 57, 74, 97))


class Counting:
    """A family whose model is its number of rounds and whose prediction is 1 / rounds."""

    encoding = "ordinal"

    def max_rounds(self, config: Any) -> int:
        return int(config["most"])

    def pace(self, config: Any) -> float:
        return 1.0

    def fit(self, config: Any, train: Matrix, how: Any) -> int:
        return int(how.rounds)

    def extend(self, model: int, rounds: int) -> int:
        assert rounds > model
        return rounds

    def predict(self, model: int, x: Any) -> Any:
        return np.full(len(x), 1.0 / model)

    def state(self, model: int) -> int:
        return model

    def resume(self, state: int, config: Any, train: Matrix, how: Any) -> int:
        return state


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setattr(pipeline, "family_config", lambda config: (Counting(), config))
    x = np.zeros((4, 1), dtype=np.float32)
    pairs = [
        (Matrix(x=x, y=np.zeros(4), names=("a",)), Matrix(x=x, y=np.full(4, shift), names=("a",)))
        for shift in (0.0, 0.01)
    ]
    return Prepared(folds={"ordinal": tuple(pairs)}, task="regression", classes=0)


class Mae:
    name, direction = "mae", "minimize"

    def __call__(self, truth: Any, prediction: Any) -> float:
        return float(np.abs(truth - prediction).mean())


def run_of(prepared: Prepared, most: int, **how: Any) -> list[Rung]:
    run = TrialRun(prepared, {"most": most}, Mae(), seed=0, **how)  # type: ignore[arg-type]
    told: list[Rung] = []
    while not (told and told[-1].done):
        assert run.advance() is None
        rung = run.advance()
        assert rung is not None
        told.append(rung)
    return told


def test_a_rung_is_the_mean_over_all_folds(prepared: Prepared) -> None:
    for rung in run_of(prepared, 60):
        folds = (1 / rung.rounds, abs(1 / rung.rounds - 0.01))
        assert rung.fold_values == pytest.approx(folds)
        assert rung.value == pytest.approx(np.mean(folds))
    assert [rung.rounds for rung in run_of(prepared, 60)] == [20, 26, 34, 44, 57, 60]


def test_a_trial_ends_by_itself_after_its_best(prepared: Prepared) -> None:
    told = run_of(prepared, 10**9)
    best = min(range(len(told)), key=lambda place: told[place].value)
    assert best == len(told) - 1 - PATIENCE


def test_a_budget_limits_the_training(prepared: Prepared) -> None:
    assert [rung.rounds for rung in run_of(prepared, 60, limit=30.0)] == [20, 26, 30]
    assert [rung.rounds for rung in run_of(prepared, 1)] == [1]


def test_a_metric_that_one_class_cannot_have_says_so(prepared: Prepared) -> None:
    class Auc(Mae):
        def __call__(self, truth: Any, prediction: Any) -> float:
            return float("nan")

    codes = {"mixed": np.array([0, 1, 0, 1]), "alone": np.zeros(4, np.int64)}
    for kind, y in codes.items():
        pairs = [(train, Matrix(x=valid.x, y=y, names=("a",))) for train, valid in folds(prepared)]
        made = Prepared(folds={"ordinal": tuple(pairs)}, task="binary", classes=2)
        with pytest.raises(ValueError, match="must be finite") as told:
            TrialRun(made, {"most": 1}, Auc(), seed=0).advance()  # type: ignore[arg-type]
        assert ("all of one class" in str(told.value)) == (kind == "alone")


def folds(prepared: Prepared) -> tuple[tuple[Matrix, Matrix], ...]:
    return prepared.folds["ordinal"]


def test_features_are_fitted_on_training_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []

    def fit_training(tensors: Any, y: Any, schema: Any, encoding: str, **others: Any) -> Any:
        assert others == {"crossed": True, "nominal": {"a"}, "crowded": {"b"}, "fold": "dealt"}
        seen.append((tensors["a"].tolist(), y.tolist()))
        features = SimpleNamespace(
            safe_names=("a",), nominal=((0, 4),), transform=lambda t: t["a"][:, None]
        )
        return features, tensors["a"][:, None] + 100  # no row sees its own target

    monkeypatch.setattr("raymm.features.pipeline.fit_training", fit_training)
    monkeypatch.setattr("raymm.features.nominal.nominal_columns", lambda dataset: {"a"})
    monkeypatch.setattr("raymm.features.nominal.crowded_columns", lambda dataset: {"b"})
    monkeypatch.setattr("raymm.features.dealing.crossing", lambda dataset, rows: "dealt")
    values = np.arange(6, dtype=np.float32)
    fold = SimpleNamespace(train=np.array([0, 2, 3]), valid=np.array([1]))
    dataset = SimpleNamespace(
        folds=(fold,),
        y=values * 10,
        schema=SimpleNamespace(classes=(), task="regression"),
        rows=lambda rows: {"a": values[rows]},
    )
    made = prepare(dataset, [Counting, Counting])  # type: ignore[arg-type, list-item]
    assert seen == [([0, 2, 3], [0, 20, 30])]
    train, valid = made.folds["ordinal"][0]
    assert train.nominal == ((0, 4),)
    assert (train.x.tolist(), valid.x.tolist(), valid.y.tolist()) == (
        [[100], [102], [103]],
        [[1]],
        [10],
    )


def drive(run: TrialRun) -> list[Rung]:
    told: list[Rung] = []
    while not (told and told[-1].done):
        rung = run.advance()
        told.extend([rung] if rung is not None else [])
    return told


def test_a_restored_trial_goes_on_where_it_stood(prepared: Prepared) -> None:
    whole = run_of(prepared, 200)
    parts: list[Rung] = []
    state = None
    for limit in (25.0, 60.0, None):
        run = TrialRun(prepared, {"most": 200}, Mae(), seed=0, limit=limit)  # type: ignore[arg-type]
        run.restore(state)
        parts += drive(run)
        state = run.save()
    rounds = [rung.rounds for rung in parts]
    assert rounds == sorted(set(rounds)), "no amount of training is done twice"
    assert rounds[-1] == whole[-1].rounds
    for rung in parts:
        assert rung.value == pytest.approx(np.mean([1 / rung.rounds, abs(1 / rung.rounds - 0.01)]))


def test_an_ended_trial_gives_its_best_again(prepared: Prepared) -> None:
    run = TrialRun(prepared, {"most": 10**9}, Mae(), seed=0)  # type: ignore[arg-type]
    told = drive(run)
    again = TrialRun(prepared, {"most": 10**9}, Mae(), seed=0)  # type: ignore[arg-type]
    again.restore(run.save())
    (rung,) = drive(again)
    assert (rung.rounds, rung.value) == min(((r.rounds, r.value) for r in told), key=lambda r: r[1])


def test_another_configuration_begins_anew(prepared: Prepared) -> None:
    run = TrialRun(prepared, {"most": 45}, Mae(), seed=0)  # type: ignore[arg-type]
    drive(run)
    other = TrialRun(prepared, {"most": 60}, Mae(), seed=0)  # type: ignore[arg-type]
    other.restore(run.save())
    assert [rung.rounds for rung in drive(other)] == [20, 26, 34, 44, 57, 60]


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("lightgbm", {"learning_rate": 0.1, "num_leaves": 7}),
        ("xgboost", {"learning_rate": 0.1, "max_depth": 3}),
    ],
)
def test_a_booster_goes_on_as_if_it_had_never_stopped(family: str, config: dict[str, Any]) -> None:
    """Without sampling, training on after a stop gives what training in one go gives."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] ** 2 + rng.normal(size=400) > 1).astype(np.int64)
    names = ("a", "b", "c", "d")
    pair = (Matrix(x=x[:300], y=y[:300], names=names), Matrix(x=x[300:], y=y[300:], names=names))
    made = Prepared(folds={"ordinal": (pair,)}, task="binary", classes=2)

    class Error(Mae):
        def __call__(self, truth: Any, prediction: Any) -> float:
            return float(np.abs(truth - prediction[:, 1]).mean())

    named = {"family": family, **{f"{family}.{name}": value for name, value in config.items()}}
    whole = TrialRun(made, named, Error(), seed=0, limit=45)  # type: ignore[arg-type]
    expected = drive(whole)
    first = TrialRun(made, named, Error(), seed=0, limit=20)  # type: ignore[arg-type]
    drive(first)
    second = TrialRun(made, named, Error(), seed=0, limit=45)  # type: ignore[arg-type]
    second.restore(first.save())
    for rung, same in zip(drive(second), expected[1:], strict=True):
        assert rung.rounds == same.rounds
        # Sums of float32 leaves in another order: XGBoost adds them up anew.
        assert rung.value == pytest.approx(same.value, rel=1e-4)
