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
    most, used, told = (tmp_path / name for name in ("max", "current", "stat"))
    most.write_text("1000\n")
    used.write_text("400\n")
    monkeypatch.setattr(memory, "_GROUPS", ((str(most), str(used), str(told)),))
    assert memory.available() == 600
    told.write_text("anon 100\ninactive_file 250\nactive_file 50\n")
    assert memory.available() == 850  # files that were read are no use of memory
    told.write_text("inactive_file 20\ntotal_inactive_file 250\n")
    assert memory.available() == 850
    told.write_text("?")
    assert memory.available() == 600
    most.write_text("max\n")
    assert memory.available() > 600
