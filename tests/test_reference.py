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
        ("math:sine", 'no "sine".*Did you mean "sin'),
        ("math.py:sin", '"math", not "math.py"'),
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


@pytest.mark.parametrize(
    ("text", "asked", "words"),
    [
        ("def train(config):\n    return 1.0\n", "tidy_0:trian", 'Did you mean "train"'),
        ("def train(config):\n    return 1.0\n", "tidy_1:zzz", "Its functions: train"),
        ("x = 1\n", "tidy_2:train", "no function at all"),
        ("def f(:\n", "tidy_3:f", "SyntaxError"),
        ("import math\n\nmath.sqrt(-1)\n", "tidy_4:f", "line 3, in <module>"),
        ("import no_such_package\n", "tidy_5:f", "needs no_such_package"),
        ("x = 1\n", "tidy_66:f", 'Did you mean "tidy_6"'),
    ],
)
def test_what_is_wrong_with_a_module_is_told(tmp_path, monkeypatch, text, asked, words):
    name = asked.partition(":")[0]
    name = "tidy_6" if name == "tidy_66" else name
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words) as caught:
        references.load(asked)
    assert "<frozen" not in str(caught.value)
