from __future__ import annotations

import pytest

from raymm import idle


@pytest.fixture(autouse=True)
def groups(tmp_path, monkeypatch):
    """Return a function that writes the files of control groups; there are none before."""
    monkeypatch.setattr(idle, "_GROUPS", str(tmp_path))
    monkeypatch.setattr(idle, "_OWN", str(tmp_path / "own"))

    def make(own="", **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path.joinpath(*name.replace("_in_", "/").split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return make


@pytest.fixture
def processors(monkeypatch):
    """Return a function that makes processors busy for shares of the time."""

    def make(*shares):
        told = [
            dict.fromkeys(range(len(shares)), (0, 0)),
            {cpu: (round(100 * share), 100) for cpu, share in enumerate(shares)},
        ]
        monkeypatch.setattr(idle, "_busy", lambda: told.pop(0))
        monkeypatch.setattr(idle, "WINDOW", 0.0)

    return make


@pytest.mark.parametrize(
    ("shares", "most", "expected"),
    [
        ((0.0, 0.1), 2, 2),
        ((0.0, 0.9), 2, 1),
        ((1.0, 1.0), 2, 1),
        ((0.0, 0.0, 0.0, 0.0), 2, 2),
        ((0.2, 0.3, 0.4, 0.6), 8, 3),
    ],
)
def test_processors_that_others_use_do_not_count(processors, shares, most, expected):
    processors(*shares)
    assert idle.idle_cpus(most) == expected


def test_without_a_word_from_the_system_all_are_idle(monkeypatch):
    monkeypatch.setattr(idle, "_busy", lambda: None)
    assert idle.idle_cpus(4) == 4
    assert idle.idle_cpus(0) == 1


def test_one_is_not_measured(monkeypatch):
    monkeypatch.setattr(idle, "_busy", lambda: pytest.fail("nobody needs to know"))
    assert idle.idle_cpus(1) == 1


def test_what_linux_tells_is_read(tmp_path):
    found = idle._busy()
    if found is None:
        pytest.skip("only Linux tells")
    assert all(0 <= busy <= total for busy, total in found.values())


V1 = "3:cpuset:/x\n2:cpu,cpuacct:/docker/a\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {"cpu.max": "200000 100000\n"}, 2),
        ("", {"cpu.max": "max 100000\n"}, 8),
        ("", {"cpu.max": "50000 100000\n"}, 1),
        ("", {"cpu.max": "270000 100000\n"}, 2),
        ("", {"cpu.max": "3200000 100000\n"}, 8),
        ("", {"cpu.max": "?"}, 8),
        ("", {"cpu.max": "100000 0"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, 1),
        ("0::/unseen\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/a\n", {"b/cpu.max": "200000 100000"}, 8),
        ("0::/../../a\n", {"cpu.max": "200000 100000"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "50000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (
            V1,
            {
                "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_a_container_s_limit_counts(groups, processors, monkeypatch, own, files, expected):
    monkeypatch.setattr(idle.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    groups(own, **files)
    assert idle.cpus() == expected
    processors(*[0.0] * 32)  # what a container sees of its host
    assert idle.idle_cpus(31) == (expected if expected < 8 else 31)


def test_without_files_of_control_groups_all_processors_count(monkeypatch):
    monkeypatch.setattr(idle.os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    assert idle.cpus() == 5
