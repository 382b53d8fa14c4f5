from pathlib import Path

import pytest

from raymm.data import memory


def test_free_memory_is_some_and_less_than_the_machine_has() -> None:
    free = memory.available()
    assert free > 2**20
    total = Path("/proc/meminfo")
    if total.exists():
        assert free <= 1024 * int(total.read_text().split()[1])


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most, used = tmp_path / "max", tmp_path / "current"
    most.write_text("1000\n")
    used.write_text("400\n")
    monkeypatch.setattr(memory, "_GROUPS", ((str(most), str(used)),))
    assert memory.available() == 600
    most.write_text("max\n")
    assert memory.available() > 600
