from __future__ import annotations

import time
from pathlib import Path

import pytest

from raymm.errors import RegistryError
from raymm.lease import LASTS, SETTLES, Lease, home_of
from raymm.registry.shared import SharedFile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Storage:
    """A file that may refuse, and that counts what is written."""

    def __init__(self, folder: Path) -> None:
        self.file = SharedFile(storage=str(folder), path="keeping/m/lease.json")
        self.refuses, self.written = False, 0

    def read(self, limit: int) -> bytes:
        self._require()
        return self.file.read(limit)

    def replace(self, data: bytes) -> None:
        self._require()
        self.written += 1
        self.file.replace(data)

    def _require(self) -> None:
        if self.refuses:
            raise RegistryError("storage is away.")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(storage: Storage, clock: Clock, home: str) -> Lease:
    return Lease(storage, home=home, told=f"{home}@desk", clock=clock, wait=lambda seconds: None)


def test_one_acts_while_it_says_so_and_another_once_it_no_longer_does(
    storage: Storage, clock: Clock
) -> None:
    ann, bob = lease(storage, clock, "ann"), lease(storage, clock, "bob")
    for _ in range(9):  # longer than one lease lasts
        assert (ann.take(), bob.take()) == ("", "ann@desk")
        clock.now += LASTS / 4
    clock.now += LASTS
    assert not ann.held
    assert (bob.take(), ann.take()) == ("", "bob@desk")
    assert (ann.held, bob.held) == (False, True)


def test_of_two_that_find_it_free_at_once_the_one_that_wrote_last_acts(
    storage: Storage, clock: Clock
) -> None:
    waited, told = [], []
    bob = lease(storage, clock, "bob")

    class Late:
        """Ann's way to the storage: bob writes after she has read, and before she reads again."""

        read = staticmethod(storage.read)

        @staticmethod
        def replace(data: bytes) -> None:
            storage.replace(data)
            told.append(bob_takes())

    def bob_takes() -> str:
        read = storage.read
        storage.read = lambda limit: b""  # as it was when he looked
        bob._wait = lambda seconds: setattr(storage, "read", read)
        return bob.take()

    ann = Lease(Late, home="ann", told="ann@desk", clock=clock, wait=waited.append)
    assert ann.take() == "bob@desk"
    assert (told, waited) == ([""], [SETTLES])
    assert (ann.held, bob.held) == (False, True)
    clock.now += LASTS / 2
    bob._wait = waited.append
    assert (bob.take(), ann.take(), len(waited)) == ("", "bob@desk", 1)  # a renewal does not wait


@pytest.mark.parametrize("lives", [True, False])
def test_a_holder_whose_clock_is_far_ahead_acts_while_it_lives_and_no_longer(
    storage: Storage, clock: Clock, lives: bool
) -> None:
    ahead = Clock()
    ahead.now += 86400.0
    ann, bob = lease(storage, ahead, "ann"), lease(storage, clock, "bob")
    ann.take()
    told = []
    for _ in range(20):
        told.append(bob.take())
        if lives:
            assert ann.take() == ""
        for one in (clock, ahead):
            one.now += LASTS / 18
    assert told == (["ann@desk"] * 20 if lives else [*["ann@desk"] * 18, "", ""])


def test_it_is_renewed_only_now_and_then(storage: Storage, clock: Clock) -> None:
    ann = lease(storage, clock, "ann")
    for _ in range(18):  # three minutes of rounds
        assert ann.take() == ""
        clock.now += 10.0
    assert storage.written == 3


def test_who_is_begun_again_in_the_same_home_goes_on_at_once(
    storage: Storage, clock: Clock
) -> None:
    lease(storage, clock, "ann").take()
    assert lease(storage, clock, "ann").take() == ""


def test_who_leaves_lets_another_act_at_once_and_a_watcher_ends_nobodys(
    storage: Storage, clock: Clock
) -> None:
    ann, bob = lease(storage, clock, "ann"), lease(storage, clock, "bob")
    assert (ann.take(), bob.take()) == ("", "ann@desk")
    bob.leave()
    assert bob.take() == "ann@desk"
    ann.leave()
    assert bob.take() == ""


@pytest.mark.parametrize("overtaken", [False, True])
def test_who_is_ended_while_a_lease_settles_leaves_it_unless_it_is_anothers(
    storage: Storage, clock: Clock, overtaken: bool
) -> None:
    ann, bob, cid = (lease(storage, clock, home) for home in ("ann", "bob", "cid"))

    def ended(seconds: float) -> None:
        if overtaken:
            bob._write(clock.now + LASTS)
        raise KeyboardInterrupt

    ann._wait = ended
    with pytest.raises(KeyboardInterrupt):
        ann.take()
    assert not ann.held
    ann.leave()
    assert cid.take() == ("bob@desk" if overtaken else "")


def test_storage_that_is_away_takes_nobodys_lease_before_it_is_over(
    storage: Storage, clock: Clock
) -> None:
    ann, bob = lease(storage, clock, "ann"), lease(storage, clock, "bob")
    ann.take()
    storage.refuses = True
    clock.now += LASTS - 1
    assert ann.take() == ""
    for one, later in ((bob, 0.0), (ann, 1.0)):
        clock.now += later
        with pytest.raises(RegistryError):
            one.take()


def test_of_two_that_take_it_at_once_the_one_that_wrote_last_acts(
    storage: Storage, clock: Clock
) -> None:
    bob = lease(storage, clock, "bob")

    class Between(Storage):
        def replace(self, data: bytes) -> None:
            found = storage.file
            super().replace(data)
            bob._write(clock.now + LASTS)
            assert found.read(1000) != data

    ann = lease(Between(Path(storage.file.storage)), clock, "ann")
    assert (ann.take(), bob.take()) == ("bob@desk", "")


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"home": "x", "told": "", "until": "?"}'])
def test_what_cannot_be_read_is_nobodys_lease(storage: Storage, clock: Clock, data: bytes) -> None:
    storage.file.replace(data)
    assert lease(storage, clock, "ann").take() == ""


@pytest.mark.slow
def test_it_is_renewed_while_a_training_takes_long_and_no_longer(storage: Storage) -> None:
    class Late(Clock):
        def __call__(self) -> float:
            self.now += 0.01  # so that it is due each time that it is looked at
            return self.now

    ann = Lease(storage, home="ann", told="", clock=Late(), lasts=0.06)
    ann.take()
    with ann.renewed():
        until = time.monotonic() + 60
        while storage.written < 4 and time.monotonic() < until:
            time.sleep(0.01)
    written = storage.written
    assert written >= 4
    time.sleep(0.1)
    assert storage.written == written


def test_a_home_has_one_name_and_another_home_another(tmp_path: Path) -> None:
    name = home_of(tmp_path / "a" / "m.home")
    assert home_of(tmp_path / "a" / "m.home") == name
    assert home_of(tmp_path / "b" / "m.home") != name
