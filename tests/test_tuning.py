"""Functions of one's own: found, named, refused where they cannot be."""

from __future__ import annotations

import pytest

from raymm import tuning
from raymm.artifacts import Float, Trial, Trials
from raymm.errors import ConfigError, SearchError

SPACE = {"x": Float(-1, 1)}


def bowl(config):
    return -((config["x"] - 0.25) ** 2)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("math", "MODULE:FUNCTION"),
        ("nowhere_at_all:f", "nowhere_at_all"),
        ("math:sine", 'no "sine"'),
        ("math:pi", "must be a function"),
    ],
)
def test_references_that_lead_nowhere_are_refused(reference, words):
    with pytest.raises(ConfigError, match=words):
        tuning.load(reference)


def test_a_function_is_found_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_training.py").write_text("def train(config):\n    return 1.0\n")
    monkeypatch.chdir(tmp_path)
    assert tuning.load("my_training:train")({}) == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "maximise"}, '"min" or "max"'),
        ({"budget": 3}, "trials"),
        ({"trials": 0}, "trials"),
        ({"time": "soon"}, "90s"),
        ({"algorithm": "bayes"}, "tpe"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        tuning.tune(bowl, SPACE, storage=str(tmp_path), **settings)


def test_the_run_is_named_by_the_functions_code(tmp_path, monkeypatch):
    def failing(function, space, searcher, ledger, **how):
        names.append(ledger.run)
        trial = Trial(id="a", number=0, config={}, status="failed", error="ValueError: too deep")
        return Trials(trials=(trial,), direction="maximize", metric="value")

    from contextlib import nullcontext

    names: list[str] = []
    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", failing)
    for function, seed in ((bowl, 0), (bowl, 0), (bowl, 1), (abs, 0)):
        with pytest.raises(SearchError, match="too deep"):
            tuning.tune(function, SPACE, storage=str(tmp_path), seed=seed)
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert names[0].startswith("bowl-")


@pytest.mark.ray
def test_a_function_is_tuned_and_the_same_call_goes_on(tmp_path, ray_cluster):
    done = tuning.tune(bowl, SPACE, trials=6, storage=str(tmp_path), parallel=1)
    assert len(done.trials.trials) == 6
    assert done.best_value == pytest.approx(bowl(done.best_config))
    more = tuning.tune(bowl, SPACE, trials=9, storage=str(tmp_path), parallel=1)
    assert more.run == done.run
    assert more.summary()["resumed_trials"] == 6
    assert more.trials.trials[:6] == done.trials.trials
