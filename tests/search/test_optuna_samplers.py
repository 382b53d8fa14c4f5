import sys
import warnings

import numpy as np
import pytest

from raymm.errors import MissingExtra
from raymm.plugins import searchers
from raymm.search import space as spaces
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

NAMES = ("optuna-tpe", "optuna-cmaes")
SPACE = {
    "branch": Categorical((True, 1, "1")),
    "x": Float(0, 1, when={"branch": (1,)}),
    "n": Int(1, 100, log=True),
    "y": Float(-5, 5),
}


def _make(name, space=SPACE, seed=0):
    return searchers.get(name)(space, mode="minimize", generator=np.random.default_rng(seed))


def _value(config) -> float:
    return abs(config["y"] - 1.3) + config.get("x", 1.0) + abs(np.log(config["n"] / 10))


def _run(searcher, count, function=_value):
    results = []
    for _ in range(count):
        (suggestion,) = searcher.suggest(1)
        results.append(Result(suggestion.id, suggestion.config, function(suggestion.config)))
        searcher.observe(results[-1:])
    return results


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_laws(name) -> None:
    pytest.importorskip("optuna")
    check_searcher(searchers.get(name), examples=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TPESampler", "CmaEsSampler"])
def test_it_suggests_what_optuna_itself_would(kind) -> None:
    optuna = pytest.importorskip("optuna")
    space = {"a": Float(-5, 5), "b": Float(1e-3, 1.0, log=True), "n": Int(1, 9)}
    name = {"TPESampler": "optuna-tpe", "CmaEsSampler": "optuna-cmaes"}[kind]

    def loss(config) -> float:
        return (config["a"] - 1) ** 2 + np.log(config["b"]) ** 2 + config["n"]

    ours = [r.config for r in _run(_make(name, space), 25, loss)]
    seed = int(np.random.default_rng(0).integers(2**31))
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=getattr(optuna.samplers, kind)(seed=seed))
        for config in ours:
            trial = study.ask()
            asked = {
                "a": trial.suggest_float("a", -5, 5),
                "b": trial.suggest_float("b", 1e-3, 1.0, log=True),
                "n": trial.suggest_int("n", 1, 9),
            }
            assert asked == config
            study.tell(trial, loss(asked))
    optuna.logging.set_verbosity(before)


@pytest.mark.slow
def test_choices_that_python_takes_for_equal_stay_apart() -> None:
    pytest.importorskip("optuna")
    results = _run(_make("optuna-tpe"), 60)
    found = {repr(r.config["branch"]) for r in results}
    assert found == {"True", "1", "'1'"}
    assert all(("x" in r.config) == (repr(r.config["branch"]) == "1") for r in results)


def test_trials_stopped_early_rank_below_those_trained_in_full() -> None:
    optuna = pytest.importorskip("optuna")
    searcher = _make("optuna-tpe", {"x": Float(0, 1)})
    searcher.observe(
        [
            Result("a", {"x": 0.1}, 0.9),
            Result("b", {"x": 0.2}, 0.1, budget=3.0),
            Result("c", {"x": 0.3}, None),
        ]
    )
    trials = searcher._study.get_trials()
    states = [trial.state for trial in trials]
    assert states == [optuna.trial.TrialState[s] for s in ("COMPLETE", "PRUNED", "PRUNED")]
    assert [trial.last_step for trial in trials] == [None, 3, None]
    assert searcher._study.best_value == 0.9


def test_what_others_try_runs_in_the_study_until_its_result_comes() -> None:
    pytest.importorskip("optuna")
    searcher = _make("optuna-tpe", {"n": Int(1, 4)})
    searcher.expect([Suggestion("other", {"n": 2})])
    assert {s.config["n"] for s in searcher.suggest(9)} == {1, 3, 4}
    searcher.observe([Result("other", {"n": 2}, 0.5)])
    assert searcher._study.best_params == {"n": 2}


def test_nothing_is_printed_and_no_setting_of_optuna_stays_changed(capfd) -> None:
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    _run(_make("optuna-tpe"), 15)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"raymm\[optuna\]"):
        _make("optuna-tpe")


def test_without_torch_the_gaussian_process_names_its_extra(monkeypatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr("raymm.search.optuna_samplers.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"raymm\[deep\]"):
        _make("optuna-gp")


def test_a_finite_space_ends() -> None:
    pytest.importorskip("optuna")
    searcher = _make("optuna-tpe", {"a": Int(1, 4), "b": Categorical(("x", "y", "z"))})
    found = [r.config for r in _run(searcher, 12, lambda config: float(config["a"]))]
    assert len({spaces.key(c) for c in found}) == 12
    assert searcher.suggest(1) == []
