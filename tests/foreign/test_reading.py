"""The right reader is found, and what is no model is told as that."""

from __future__ import annotations

import pytest

from raymm.errors import ConfigError
from raymm.foreign.reading import read


@pytest.mark.parametrize(
    ("suffix", "library"), [(".txt", "LightGBM"), (".json", "XGBoost"), (".ubj", "XGBoost")]
)
def test_files_are_told_by_what_they_hold(make, suffix, library):
    made = make("multiclass", suffix)
    facts = read(str(made.path)).facts
    assert (facts.library, facts.task, facts.classes) == (library, "multiclass", 3)
    assert facts.width == 4
    assert facts.bytes == made.path.stat().st_size


@pytest.mark.parametrize(
    ("name", "data"), [("model.json", b"[1]"), ("model.txt", b"hello"), ("model.bin", b"{}")]
)
def test_other_files_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match="is none of them"):
        read(str(tmp_path / name))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(str(tmp_path / "model.txt"))
