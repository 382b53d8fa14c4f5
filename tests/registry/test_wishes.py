from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from raymm.artifacts import Wish
from raymm.errors import ConfigError, RegistryError
from raymm.registry.fsck import fsck
from raymm.registry.versions import Registry
from raymm.registry.wishes import MOST_SIGNS, Wishes


def made(uri: str) -> Wishes:
    """Return the requests about a model that is there, as another machine sees them."""
    registry = Registry(uri)
    registry.register("m", b"b", run="r", blessed=True, summary={}, parts={})
    return registry.wishes("m")


def test_a_request_says_who_and_why_and_waits_until_it_is_taken_up(uri: str) -> None:
    assert made(uri).next() is None
    asked = made(uri).add(reason="new \n prices", who="ann@desk")
    assert (asked.sequence, asked.reason, bool(asked.created)) == (1, "new prices", True)
    assert "@" in made(uri).add().who
    wish = made(uri).next()
    assert wish is not None
    assert (wish.numbers, wish.told[:21]) == ((1, 2), "ann@desk: new prices;")
    mine = replace(wish, claim="a")
    assert made(uri).take(mine) == mine
    assert made(uri).next() is None
    assert [(one.action, one.takes) for one in made(uri).all()][2:] == [("take", (1, 2))]
    assert fsck(Registry(uri)) == []


def test_a_request_is_taken_up_by_one_loop_and_again_by_its_claim_alone(uri: str) -> None:
    made(uri).add(who="ann@desk")
    wish = made(uri).next()
    assert wish is not None
    first, second = (replace(wish, claim=claim) for claim in "ab")
    assert made(uri).take(first) == first
    assert made(uri).take(second) is None
    assert made(uri).take(first) == first  # as after a kill
    assert len(made(uri).all()) == 2
    # One that came between is left to who comes second.
    made(uri).add(who="bob@desk", reason="why not")
    both = replace(second, numbers=(1, 3), told="ann@desk; bob@desk: why not")
    assert made(uri).take(both) == replace(both, numbers=(3,), told="bob@desk: why not")


def test_of_loops_that_reach_for_it_at_once_one_gets_it_and_no_request_is_lost(uri: str) -> None:
    got: list[int] = []

    def ask(who: str) -> None:
        made(uri).add(who=who)

    def reach(claim: str) -> None:
        taken = made(uri).take(Wish(numbers=(1, 2), told="both", claim=claim))
        got.extend(taken.numbers if taken else ())

    for work, names in ((ask, ("ann@desk", "bob@desk")), (reach, "abcd")):
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert sorted(got) == [1, 2]
    assert {one.who for one in made(uri).all()[:2]} == {"ann@desk", "bob@desk"}


def test_requests_for_other_data_have_a_training_of_their_own(uri: str) -> None:
    for source in ("", "new.csv", ""):
        made(uri).add(source=source)
    for numbers, source in (((1, 3), ""), ((2,), "new.csv")):
        wish = made(uri).next()
        assert wish is not None
        assert (wish.numbers, wish.source) == (numbers, source)
        made(uri).take(wish)


def test_what_may_not_be_asked_or_read_is_told(tmp_path: Path) -> None:
    made(str(tmp_path)).add(reason="x" * MOST_SIGNS)
    with pytest.raises(ConfigError, match=f"{MOST_SIGNS} signs at most, but this has 501"):
        made(str(tmp_path)).add(reason="x" * (MOST_SIGNS + 1))
    path = tmp_path / "models/m/wishes/00000001.json"
    path.write_bytes(path.read_bytes().replace(b'"who"', b'"why"'))
    with pytest.raises(RegistryError):
        made(str(tmp_path)).all()
    assert [one.severity for one in fsck(Registry(str(tmp_path)))] == ["error"]
