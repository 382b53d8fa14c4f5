from __future__ import annotations

import pytest

from raymm import idle


@pytest.fixture
def processors(monkeypatch):
    """Return a function that makes processors busy for shares of the time."""

    def make(*shares):
        told = [
            dict.fromkeys(range(len(shares)), (0, 0)),
            {cpu: (round(100 * share), 100) for cpu, share in enumerate(shares)},
        ]
        monkeypatch.setattr(idle, "_busy", lambda: told.pop(0))

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
