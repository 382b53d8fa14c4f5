"""Functions of one's own: found, named, refused where they cannot be."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from raymm import tuning
from raymm.artifacts import Float, Trial, Trials
from raymm.errors import ConfigError, DataError, SearchError
from raymm.search.objective import MakeCall
from raymm.search.session import Limits, Session
from raymm.search.warm import Warm

SPACE = {"x": Float(-1, 1)}


def bowl(config):
    return -((config["x"] - 0.25) ** 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "maximise"}, '"min" or "max"'),
        ({"budget": 3}, "trials"),
        ({"trials": 0}, "trials"),
        ({"time": "soon"}, "90s"),
        ({"algorithm": "bayes"}, "tpe"),
        ({"trails": 3}, 'Did you mean "trials"'),
        ({"algorithm": "pbt"}, "min_budget and max_budget"),
        ({"min_budget": 3}, "max_budget is missing"),
        ({"algorithm": "pbt", "min_budget": 9, "max_budget": 3}, "at most max_budget"),
        ({"X": [[1.0]]}, "estimator"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        tuning.tune(bowl, SPACE, storage=str(tmp_path), **settings)


@pytest.fixture
def searching_here(monkeypatch):
    """Search in this process; each test sees what was handed on in the list returned."""
    seen = []

    def search(function, space, searcher, ledger, **how):
        seen.append((function, searcher, ledger.run, how))
        trials = []
        for number in range(how["trials"] or 3):
            (made,) = searcher.suggest(1)
            try:
                value, error = function(made.config), ""
            except Exception as reason:
                value, error = None, str(reason)
            status = "failed" if error else "finished"
            trial = Trial(
                id=made.id,
                number=number,
                config=made.config,
                status=status,
                value=value,
                error=error,
            )
            trials.append(trial)
        return Trials(trials=tuple(trials), direction=how["mode"], metric=how["metric"])

    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", search)
    return seen


def failing(config):
    raise ValueError("too deep")


def test_the_run_is_named_by_the_functions_code(tmp_path, searching_here):
    for function, seed in ((failing, 0), (failing, 0), (failing, 1), (abs, 0)):
        with pytest.raises(SearchError, match=r"too deep|bad operand"):
            tuning.tune(function, SPACE, storage=str(tmp_path), seed=seed)
    names = [run for _, _, run, _ in searching_here]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert names[0].startswith("failing-")


def test_budgets_reach_the_searcher_and_settings_the_search(tmp_path, searching_here):
    how = {"storage": str(tmp_path), "min_budget": 2, "max_budget": 8, "max_failures": 5}
    tuning.tune(bowl, SPACE, algorithm="pbt", plateau=7, compute="1h", **how)
    tuning.tune(bowl, SPACE, algorithm="random", **how)
    (_, pbt, first, told), (_, climbing, second, _) = searching_here
    assert [made.budget for made in pbt.suggest(1)] == [2.0]
    assert [made.budget for made in climbing.suggest(1)] == [2]
    assert first != second
    assert (told["settings"].max_failures, told["settings"].plateau) == (5, 7)
    assert told["settings"].compute == 3600


def test_earlier_runs_of_a_given_name_warm_the_start(tmp_path, searching_here, monkeypatch):
    told = []

    def warm(ledger, storage, space, *, gather, of):
        told.append((gather, ledger.records("run")[0]["name"]))
        start = (("bowl-1",), ({"x": 0.25},), ()) if gather else ((), (), ())
        return Warm(runs=start[0], configs=start[1], results=start[2])

    monkeypatch.setattr(tuning, "warm", warm)
    how = {"storage": str(tmp_path), "algorithm": "random", "trials": 1}
    first = tuning.tune(bowl, SPACE, **how)
    second = tuning.tune(bowl, SPACE, name="My Bowl", **how)
    third = tuning.tune(bowl, SPACE, name="My Bowl", warm="none", seed=1, **how)
    assert told == [(False, first.run), (True, "my-bowl"), (False, "my-bowl")]
    assert second.best_config == {"x": 0.25}
    assert third.best_config != {"x": 0.25}


X, Y = load_iris(return_X_y=True)
GRID = {"C": Float(0.01, 100.0, log=True), "gamma": Float(0.001, 1.0, log=True)}


@pytest.mark.slow
def test_an_estimator_is_tuned_and_refitted(tmp_path, searching_here):
    done = tuning.tune(SVC(), GRID, X=X, y=Y, cv=3, trials=8, storage=str(tmp_path))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    again = cross_val_score(SVC(**done.best_config), X, Y, cv=folds).mean()
    assert done.best_value == pytest.approx(again)
    assert done.best_estimator.get_params()["C"] == done.best_config["C"]
    expected = SVC(**done.best_config).fit(X, Y).predict(X)
    assert done.best_estimator.predict(X).tolist() == expected.tolist()
    assert done.trials.direction == "maximize"
    assert done.run.startswith("svc-")
    assert "best_estimator" not in str(done.summary()), "the summary is plain data"


@pytest.mark.slow
def test_a_run_of_an_estimator_is_named_by_what_decides_it(tmp_path, searching_here):
    def name(estimator, x=X, **how):
        tuning.tune(estimator, GRID, X=x, y=Y, trials=1, storage=str(tmp_path), **how)
        return searching_here[-1][2]

    same = [name(SVC()), name(SVC(), X.copy()), name(SVC(), cv=5)]
    others = [name(SVC(kernel="poly")), name(SVC(), X + 1), name(SVC(), cv=4), name(SVC(), seed=1)]
    others.append(name(SVC(), scoring="balanced_accuracy"))
    assert len(set(same)) == 1
    assert len({*same, *others}) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scoring", "direction"),
    [
        ("accuracy", "maximize"),
        ("neg_log_loss", "maximize"),
        ("log_loss", "minimize"),
        ("brier", "minimize"),
        ("f1", "maximize"),
        (lambda estimator, x, y: estimator.score(x, y), "maximize"),
    ],
)
def test_scorings_of_scikit_learn_and_of_raymm(tmp_path, searching_here, scoring, direction):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    space = {"logisticregression__C": Float(0.01, 10.0, log=True)}
    how = {"X": X, "y": Y, "cv": 2, "trials": 2, "storage": str(tmp_path)}
    done = tuning.tune(pipeline, space, scoring=scoring, **how)
    assert done.trials.direction == direction
    assert done.trials.best is not None
    if scoring in ("neg_log_loss", "log_loss"):
        assert (done.best_value < 0) == (scoring == "neg_log_loss")


@pytest.mark.parametrize(
    ("estimator", "how", "error", "words"),
    [
        (SVC(), {"X": None}, ConfigError, "X=X, y=y"),
        (SVC(), {"scoring": "acuracy"}, ConfigError, 'Did you mean "accuracy"'),
        (SVC(), {"scoring": "rmse"}, ConfigError, "does not suit"),
        (SVC(), {"scoring": "log_loss", "mode": "max"}, ConfigError, "min"),
        (SVC(), {"scoring": "log_loss", "trials": 1}, SearchError, "predict_proba"),
        (SVC(), {"y": Y[:9]}, DataError, "one row each"),
        (SVC(), {"max_budget": 9}, ConfigError, "partial_fit"),
        (SVC(), {"algorithm": "pbt"}, ConfigError, "fitted whole"),
        (LogisticRegression(), {}, ConfigError, '"gamma" is not a parameter'),
        (SVC, {}, ConfigError, r"add \(\)"),
        ("SVC", {}, ConfigError, "function or a scikit-learn estimator"),
    ],
)
def test_what_cannot_be_tuned_is_refused(tmp_path, searching_here, estimator, how, error, words):
    with pytest.raises(error, match=words):
        tuning.tune(estimator, GRID, **{"X": X, "y": Y, "storage": str(tmp_path), **how})


def test_an_estimators_own_error_is_told(tmp_path, searching_here):
    x = X.copy()
    x[3, 1] = np.nan
    with pytest.raises(SearchError, match="contains NaN"):
        tuning.tune(SVC(), GRID, X=x, y=Y, trials=2, storage=str(tmp_path))


def _in_a_session(function, space, searcher, ledger, **how):
    limits = Limits(metric=how["metric"], direction=how["mode"], trials=how["trials"])
    session = Session(searcher, how["halving"], ledger, limits=limits)
    make = MakeCall(
        function=function, metric=how["metric"], seed=0, most=how["settings"].max_budget
    )
    while (opened := session.next()) is not None:
        run = make(opened.number, opened.suggestion.config, opened.suggestion.budget)
        rung = run.advance()
        while session.rung(opened.number, rung) and not rung.done:
            rung = run.advance()
        run.close()
        session.end(opened.number, "finished" if rung.done else "stopped")
    return session.result("trials")


@pytest.mark.slow
def test_several_objectives_give_a_front(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", _in_a_session)

    def both(config):
        return {"near": (config["x"] - 0.25) ** 2, "far": (config["x"] + 0.5) ** 2}

    sought = {"near": "min", "far": "min"}
    found = tuning.tune(
        both,
        SPACE,
        objectives=sought,
        constraints={"near": (None, 0.5)},
        trials=12,
        storage=str(tmp_path),
    )
    places = [trial.config["x"] for trial in found.front]
    assert len(places) >= 2  # all between the two minima are on it
    assert all(-0.5 - 0.05 <= x <= 0.25 + 0.05 for x in places)
    assert all(trial.metrics["near"] <= 0.5 for trial in found.front)
    again = tuning.tune(
        both,
        SPACE,
        objectives=sought,
        constraints={"near": (None, 0.5)},
        trials=12,
        storage=str(tmp_path),
    )
    assert (again.run, again.trials.resumed) == (found.run, 12)


@pytest.mark.slow
def test_with_budgets_several_objectives_stop_what_is_dominated(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", _in_a_session)

    def both(config, report):
        for step in range(100):
            left = 1 / (1 + step)
            report(near=(config["x"] - 0.25) ** 2 + left, far=(config["x"] + 0.5) ** 2 + left)

    how = {"objectives": {"near": "min", "far": "min"}, "algorithm": "random", "trials": 40}
    found = tuning.tune(both, SPACE, min_budget=1, max_budget=9, storage=str(tmp_path), **how)
    reports = [trial.rungs[-1][0] for trial in found.trials.trials]
    assert set(reports) <= {1, 3, 9}
    # most are dominated at the first rung; those between the minima may go on
    assert 10 < reports.count(1) < 40
    assert all(len(trial.rungs) == 9 for trial in found.front)
    whole = tuning.tune(both, SPACE, max_budget=4, storage=str(tmp_path), **how)
    assert {len(trial.rungs) for trial in whole.trials.trials} == {4}


@pytest.mark.slow
def test_a_median_rule_stops_a_function_that_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", _in_a_session)

    def curve(config, report):
        for step in range(8):
            report(bowl(config) - 1 / (1 + step))

    how = {"algorithm": "random", "trials": 20, "storage": str(tmp_path)}
    stopped = tuning.tune(curve, SPACE, scheduler="median", **how)
    whole = tuning.tune(curve, SPACE, **how)
    assert stopped.run != whole.run
    assert {len(trial.rungs) for trial in whole.trials.trials} == {8}
    assert stopped.counts()["stopped"] >= 3
    assert stopped.best_config == whole.best_config


def test_objectives_and_a_metric_do_not_go_together(tmp_path):
    for given in ({"objectives": {"a": "min"}, "metric": "a"}, {"constraints": {"a": (0, 1)}}):
        with pytest.raises(ConfigError, match="objectives"):
            tuning.tune(bowl, SPACE, storage=str(tmp_path), **given)


@pytest.mark.ray
def test_a_function_is_tuned_and_the_same_call_goes_on(tmp_path, ray_cluster):
    def bowl(config):  # inside, so that workers need not find this file
        return -((config["x"] - 0.25) ** 2)

    done = tuning.tune(bowl, SPACE, trials=6, storage=str(tmp_path), parallel=1)
    assert len(done.trials.trials) == 6
    assert done.best_value == pytest.approx(bowl(done.best_config))
    more = tuning.tune(bowl, SPACE, trials=9, storage=str(tmp_path), parallel=1)
    assert more.run == done.run
    assert more.summary()["resumed_trials"] == 6
    assert more.trials.trials[:6] == done.trials.trials


@pytest.mark.ray
def test_an_estimator_is_tuned_on_workers(tmp_path, ray_cluster):
    x, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SVC())
    space = {"svc__C": Float(0.01, 100.0, log=True), "svc__gamma": Float(1e-4, 1.0, log=True)}
    how = {"X": x, "y": y, "cv": 3, "trials": 5, "storage": str(tmp_path)}
    done = tuning.tune(pipeline, space, algorithm="random", **how)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    again = cross_val_score(pipeline.set_params(**done.best_config), x, y, cv=folds).mean()
    assert done.best_value == pytest.approx(again)
    assert done.best_estimator.score(x, y) > 0.9


@pytest.mark.ray
def test_a_population_trains_on_from_real_checkpoints(tmp_path, ray_cluster):
    """Steps add up over checkpoints: no constant x reaches what its trials report."""

    def growing(config, report):
        trained = report.checkpoint or 0.0
        for _ in range(report.step, 100):
            trained += config["x"]
            report(trained, checkpoint=trained)

    how = {"min_budget": 1, "max_budget": 6, "trials": 10, "storage": str(tmp_path)}
    done = tuning.tune(growing, {"x": Float(0.1, 1.0)}, algorithm="pbt", parallel=2, **how)
    best = done.trials.best
    assert len(done.trials.trials) == 10
    assert best is not None
    assert best.rounds == 6
    assert best.value is not None
    assert best.value <= 6.0
    sums = {t.number: (t.value, 6 * t.config["x"]) for t in done.trials.trials if t.rounds == 6}
    assert any(value != pytest.approx(constant) for value, constant in sums.values())
