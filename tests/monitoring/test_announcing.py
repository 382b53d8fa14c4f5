from __future__ import annotations

from raymm.artifacts import Statistics
from raymm.monitoring.announcing import DISPUTED, MOST_ANNOUNCED, Announced, Announcing

STATISTICS = Statistics(rows=0, columns=())


def served(champion: bool = True) -> Announced:
    return Announced(STATISTICS, None, champion)


def said(announcing: Announcing) -> list[tuple[int, bool, bool]]:
    """Return what was due, each with whether it reigns and whether it takes over."""
    due = announcing.due()
    for version, one, _ in due:
        announcing.said(version, one)
    return [(version, one.champion, over) for version, one, over in due]


def test_each_version_is_said_once_and_again_where_the_state_was_lost() -> None:
    announcing = Announcing()
    announcing.add(1, served())
    announcing.add(2, served(champion=False))
    assert said(announcing) == [(1, True, True), (2, False, True)]
    assert said(announcing) == []
    announcing.again()
    assert said(announcing) == [(1, True, False), (2, False, False)]
    announcing.again({2, 99})
    assert said(announcing) == [(2, False, False)]
    announcing.add(2, served())
    assert said(announcing) == [(2, True, True)]
    announcing.again({1})
    assert said(announcing) == [(1, False, False)]


def test_what_is_announced_anew_while_it_is_said_stays_due() -> None:
    announcing = Announcing()
    announcing.add(1, served(champion=False))
    ((version, one, _),) = announcing.due()
    announcing.add(1, served())
    announcing.said(version, one)
    assert said(announcing) == [(1, True, True)]


def test_versions_remembered_are_bounded_and_the_champion_stays() -> None:
    announcing = Announcing()
    announcing.add(1, served())
    for version in range(2, 20):
        announcing.add(version, served(champion=False))
    known = {version for version, _, _ in announcing.due()}
    assert 1 in known
    assert len(known) <= MOST_ANNOUNCED + 2


def test_a_monitor_that_came_back_with_an_old_champion_is_told_the_right_one_once() -> None:
    announcing = Announcing()
    announcing.add(2, served())
    said(announcing)
    announcing.heard({"life": "a", "version": 2}, 0.0)
    announcing.heard({"life": "b", "version": 1}, 10.0)
    announcing.heard({"life": "b", "version": 1}, 10.0 + DISPUTED - 1)
    assert said(announcing) == []  # another replica may bring it about yet
    announcing.heard({}, 10.0 + DISPUTED)
    announcing.heard({"life": "b", "version": 1}, 10.0 + DISPUTED)
    assert said(announcing) == [(2, True, True)]
    for now in (100.0, 1000.0):  # who follows the registry late does not fight with others
        announcing.heard({"life": "b", "version": 1}, now)
    assert said(announcing) == []


def test_where_they_agree_or_nothing_began_anew_nothing_is_said() -> None:
    announcing = Announcing()
    announcing.add(2, served())
    said(announcing)
    for life, version, now in (("a", 1, 0.0), ("a", 1, 99.0), ("b", 2, 100.0), ("b", 2, 999.0)):
        announcing.heard({"life": life, "version": version}, now)
    assert said(announcing) == []
