"""A user's function, named as MODULE:FUNCTION."""

from __future__ import annotations

import pytest

from raymm import reference as references
from raymm.errors import ConfigError


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
        references.load(reference)


def test_a_function_is_found_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_training.py").write_text("def train(config):\n    return 1.0\n")
    monkeypatch.chdir(tmp_path)
    assert references.load("my_training:train")({}) == 1.0


def test_a_reference_to_an_estimator_says_where_it_belongs(tmp_path, monkeypatch):
    (tmp_path / "my_estimator.py").write_text("from sklearn.svm import SVC\nmodel = SVC()\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="X and y in Python"):
        references.load("my_estimator:model")
