"""Predictions without a service: the champion by default, refusals that help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm import prediction
from raymm.errors import ConfigError, DataError, NotFound
from raymm.registry.versions import Registry


def test_the_champion_is_loaded_by_default(finished, home):
    assert prediction.load("loans").version == Registry(str(home)).champion("loans")


def test_probabilities_are_those_of_the_labels(finished, home):
    frame = pd.read_csv(finished.csv, dtype=str)
    model = prediction.load("loans", version=1)
    probabilities = model.predict_proba(frame)
    picked = np.array(model.schema.classes)[probabilities.argmax(axis=1)]
    assert picked.tolist() == model.predict(frame)


def test_unknown_names_are_answered_with_known_ones(home):
    with pytest.raises(NotFound, match=r'Did you mean "loans"'):
        prediction.load("loan")
    with pytest.raises(NotFound, match="1 to 2"):
        prediction.load("loans", version=7)


def test_a_table_without_a_column_is_refused(finished, home):
    frame = pd.read_csv(finished.csv).drop(columns="city")
    with pytest.raises(DataError, match="city"):
        prediction.load("loans").predict(frame)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(finished, home, tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        prediction.predict_file(
            str(home), "loans", str(finished.csv), str(tmp_path / "a" / "b.csv")
        )
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        prediction.predict_file(str(home), "loans", str(finished.csv), str(tmp_path / "taken.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]
