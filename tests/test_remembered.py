"""What a monitor wrote last is told when nothing is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raymm import remembered
from raymm.artifacts import Batch, ColumnStatistics, Statistics, as_record
from raymm.errors import RegistryError
from raymm.monitoring.observer import Observer
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
RECORD = as_record(Statistics(rows=400, columns=(COLUMN,)))
FORMATS = Path(__file__).parent / "monitoring"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of a monitor's state on this machine."""
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "monitors" / "loans"


def written(path, at, requests, window=77):
    """Let a monitor write its state, and return what it reports."""
    config = MonitoringConfig(window=window)
    made = Observer("loans", config=config, path=path, clock=lambda: at)
    made.watch(1, RECORD)
    values = np.linspace(-1, 1, 40, dtype=np.float32)
    for _ in range(requests):
        told = {"tensors": {"x": values}, "predictions": values}
        made.tell([Batch(rows=40, version=1, seconds=0.1, **told)])
    made.flush()
    return made.report()


def test_the_later_of_both_states_is_told_as_its_monitor_would(here, tmp_path):
    storage = tmp_path / "storage"
    assert remembered.last_known("loans", str(storage)) is None
    earlier = written(here / "raymm-monitor-loans.json", 1000.0, 3)
    told = remembered.last_known("loans", str(storage))
    assert told == {**earlier, "served": False, "saved_at": 1000.0}
    assert told["window"]["rows"] == 77  # as it was configured, and not as by default
    later = written(storage / "monitors" / "loans" / "state.json", 2000.0, 5)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    told = remembered.last_known("loans", str(storage))
    assert told == {**later, "served": False, "saved_at": 2000.0}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["state_format_1.json", "state_format_2.json"])
def test_states_of_earlier_formats_are_told(here, tmp_path, name):
    here.mkdir(parents=True)
    (here / "raymm-monitor-loans.json").write_text((FORMATS / name).read_text())
    told = remembered.last_known("loans", str(tmp_path))
    assert (told["version"], told["saved_at"], told["window"]["rows"]) == (3, 0.0, 1000)


def test_a_damaged_state_is_told_and_stays(here, tmp_path):
    path = here / "raymm-monitor-loans.json"
    written(path, 1000.0, 1)
    data = path.read_bytes()[:-5]
    path.write_bytes(data)
    with pytest.raises(RegistryError, match="damaged"):
        remembered.last_known("loans", str(tmp_path))
    assert path.read_bytes() == data


def test_a_state_in_which_nothing_was_watched_is_told(here, tmp_path):
    path = here / "raymm-monitor-loans.json"
    Observer("loans", config=MonitoringConfig(), path=path, clock=lambda: 0.0).flush()
    with pytest.raises(RegistryError, match="no version"):
        remembered.last_known("loans", str(tmp_path))
