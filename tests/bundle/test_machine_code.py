from __future__ import annotations

from pathlib import Path

import pytest

from raymm.bundle import machine_code


@pytest.fixture
def fresh():
    """Ask anew whether kernels can be used, in this test and after it."""
    for one in (machine_code.loaded, machine_code._complain):
        one.cache_clear()
    yield
    for one in (machine_code.loaded, machine_code._complain):
        one.cache_clear()


def test_without_numba_there_are_no_kernels(monkeypatch, fresh, caplog):
    monkeypatch.setattr(machine_code, "find_spec", lambda name: None)
    assert machine_code.loaded("raymm.bundle.kernels") is None
    assert not caplog.records


def test_what_cannot_be_compiled_is_told_once_for_all_kernels(monkeypatch, fresh, caplog):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.3 or less")

    monkeypatch.setattr(machine_code, "find_spec", lambda name: object())
    monkeypatch.setattr(machine_code.importlib, "import_module", broken)
    assert machine_code.loaded("raymm.bundle.kernels") is None
    assert machine_code.loaded("raymm.bundle.entropy_kernels") is None
    (told,) = [one.getMessage() for one in caplog.records]
    assert "ImportError: Numba needs NumPy 2.3 or less" in told


def test_where_nothing_can_be_kept_python_does_the_work_without_a_warning(
    monkeypatch, fresh, caplog
):
    def unkept(name):
        raise machine_code.Unkept("no folder to write to")

    monkeypatch.setattr(machine_code, "find_spec", lambda name: object())
    monkeypatch.setattr(machine_code.importlib, "import_module", unkept)
    assert machine_code.loaded("raymm.bundle.entropy_kernels") is None
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


def test_all_kernels_that_there_are_can_be_prepared(monkeypatch):
    folder = Path(machine_code.__file__).parents[1]
    there = {
        ".".join(("raymm", *file.relative_to(folder).with_suffix("").parts))
        for file in folder.rglob("*kernels.py")
    }
    assert set(machine_code.KERNELS) == there
    asked = []
    monkeypatch.setattr(machine_code, "loaded", asked.append)
    machine_code.prepare()
    assert asked == list(machine_code.KERNELS)
