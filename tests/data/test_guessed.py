import pandas as pd
import pytest

from raymm.artifacts import Table
from raymm.data import guessed
from raymm.data.guessed import Guessed


@pytest.fixture
def looked(monkeypatch):
    calls = []
    real = guessed.guess
    monkeypatch.setattr(
        guessed, "guess", lambda column, **how: calls.append(column.name) or real(column, **how)
    )
    return calls


def table(**columns):
    return Table(frame=pd.DataFrame(columns, dtype="str"), source="t.csv", sha256="0" * 64)


def test_each_column_is_looked_at_once_while_there_is_room(looked, monkeypatch):
    found = Guessed(table(a=["1", "2"], b=["x", "y"]))
    assert found["a"] is found["a"]
    assert found["a"].kind == "number"
    assert looked == ["a"]
    monkeypatch.setattr(guessed, "BYTES", 16)
    small = Guessed(table(a=["1", "2"], b=["x", "y"]))
    for name in "abab":
        assert small[name].words
    assert looked[1:] == ["a", "b", "b"]


def test_a_comma_is_a_decimal_one_if_any_column_says_so():
    found = Guessed(table(sure=["4,5", "0,25"], either=["4,026", "1,234"]))
    assert found["either"].format == "decimal comma"


def test_none_is_a_class_of_a_target_alone():
    found = Guessed(table(y=["None", "Low", "None"]))
    assert found["y"].words == ["Low"]
    assert sorted(found.target("y").words) == ["Low", "None"]
