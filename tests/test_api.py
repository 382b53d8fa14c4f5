"""The Python API: what a notebook hands over becomes the same run."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import raymm
from raymm.artifacts import Progress
from raymm.errors import ConfigError, DataError


def test_the_public_names_are_these():
    public = {"run", "tune", "load", "Float", "Int", "Categorical"}
    assert {name for name in dir(raymm) if not name.startswith("_")} == public
    assert all(callable(getattr(raymm, name)) for name in public)
    assert raymm.__version__


@pytest.mark.slow
def test_a_table_in_memory_can_be_run_and_asked(finished, tmp_path, searching_here):
    frame = pd.read_csv(finished.csv)
    run = raymm.run(
        frame,
        target="approved",
        name="loans",
        trials=1,
        families=["linear"],
        storage=str(tmp_path),
        progress=False,
    )
    assert run.version.name == "loans"
    labels = run.predict(frame.drop(columns="approved"))
    assert (pd.Series(labels) == frame["approved"]).mean() > 0.8
    assert run.predict_proba(frame).shape == (2000, 2)


@pytest.mark.slow
def test_a_mapping_and_a_file_are_whole_configurations(finished, tmp_path, searching_here):
    raw = {
        "data": {"source": str(finished.csv), "target": "approved"},
        "search": {"trials": 1, "families": ["linear"]},
        "storage": str(tmp_path),
    }
    path = tmp_path / "loans.yaml"
    path.write_text(pd.io.json.ujson_dumps(raw))
    one = raymm.run(raw, progress=False)
    other = raymm.run(str(path), progress=False)
    assert one.version == other.version


def test_the_target_is_asked_for():
    with pytest.raises(ConfigError, match="target="):
        raymm.run("loans.csv", progress=False)


def test_wrong_settings_name_the_right_ones():
    with pytest.raises(ConfigError, match="trials"):
        raymm.run("loans.csv", target="y", search__trails=3, progress=False)


def test_an_empty_frame_is_refused():
    with pytest.raises(DataError, match="rows and columns"):
        raymm.run(pd.DataFrame({"y": []}), target="y", progress=False)


@pytest.mark.slow
def test_loaded_models_predict_as_the_run_did(finished, home):
    frame = pd.read_csv(finished.csv, dtype=str)
    model = raymm.load("loans", version=2)
    assert model.version.number == 2
    assert model.predict(frame.head(50)) == finished.runs[1].predict(frame.head(50))


@pytest.fixture
def searched(monkeypatch):
    """Let tune hand its arguments back instead of searching."""
    seen = []

    def tune(function, space, *, notify, **given):
        notify(Progress(stage="search", message="at it"))
        seen.append(given)

    monkeypatch.setattr("raymm.tuning.tune", tune)
    return seen


SPACE = {"x": raymm.Float(0, 1)}


def test_tuning_shows_its_progress_unless_told_not_to(searched, capsys):
    raymm.tune(abs, SPACE, mode="min", trials=3)
    assert "at it" in capsys.readouterr().err
    raymm.tune(abs, SPACE, mode="min", trials=3, progress=False)
    assert capsys.readouterr() == ("", "")
    assert searched == [{"mode": "min", "trials": 3}] * 2


def test_a_direction_that_nobody_said_is_warned_of(searched):
    with pytest.warns(UserWarning, match='mode="min" where lower is better') as caught:
        raymm.tune(abs, SPACE, progress=False)
    assert caught[0].filename == __file__
    for known in ({"metric": "loss"}, {"objectives": {"a": "min"}}, {"mode": "max"}):
        raymm.tune(abs, SPACE, progress=False, **known)  # warnings are errors in these tests
    raymm.tune(LinearRegression(), SPACE, progress=False)


def test_ones_own_listener_is_heard(searched, capsys):
    heard = []
    raymm.tune(abs, SPACE, mode="min", notify=heard.append)
    assert [event.message for event in heard] == ["at it"]
    assert capsys.readouterr().err == ""
