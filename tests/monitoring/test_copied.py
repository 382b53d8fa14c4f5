"""A monitor's state goes with it from node to node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Batch, ColumnStatistics, Statistics, as_record
from raymm.errors import NotFound, RegistryError
from raymm.monitoring.copied import EVERY, Copied
from raymm.monitoring.observer import Observer
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
RECORD = as_record(Statistics(rows=400, columns=(COLUMN,)))


class Storage:
    """One file that every node reaches, or that nobody does."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.away = False
        self.written = 0

    def read(self, limit: int) -> bytes:
        if self.away:
            raise RegistryError("storage is away.")
        if self.data is None:
            raise NotFound("no such file.")
        return self.data

    def replace(self, data: bytes) -> None:
        if self.away:
            raise RegistryError("storage is away.")
        self.data = data
        self.written += 1


class Node:
    """A monitor on a machine of its own."""

    def __init__(self, folder: Path, storage: Storage, clock: Any) -> None:
        self.path = folder / "state.json"
        self.copied = Copied(self.path, storage, clock=clock)
        self.copied.fetch(pause=0.0)
        self.observer = Observer("m", config=MonitoringConfig(), path=self.path, clock=clock)

    def tell(self, requests: int) -> None:
        values = np.zeros(1, np.float32)
        for _ in range(requests):
            self.observer.tell([Batch(rows=1, version=1, seconds=0.1, tensors={"x": values})])
        self.observer.flush()

    def requests(self) -> int:
        return int(self.observer.report().get("requests", -1))


def test_a_monitor_started_on_another_node_goes_on(tmp_path: Path, clock: Any) -> None:
    storage = Storage()
    first = Node(tmp_path / "a", storage, clock)
    assert first.requests() == -1
    first.observer.watch(1, RECORD)
    first.tell(3)
    assert first.copied.push()
    clock.now += 1
    first.tell(4)  # less than a minute later: it is lost with its node
    assert not first.copied.push()
    clock.now += 10
    second = Node(tmp_path / "b", storage, clock)
    assert second.requests() == 3
    clock.now += 1
    second.tell(5)
    assert second.copied.push()
    # Back on the first node, whose own state is the older one by now.
    assert Node(tmp_path / "a", storage, clock).requests() == 8
    clock.now += 1
    second.tell(1)  # where a node has the later state, that holds
    assert Node(tmp_path / "b", storage, clock).requests() == 9


@pytest.mark.slow
def test_copies_are_bounded_in_number_and_made_only_of_what_changed(
    tmp_path: Path, clock: Any
) -> None:
    storage = Storage()
    node = Node(tmp_path, storage, clock)
    node.observer.watch(1, RECORD)
    for _ in range(int(10 * EVERY)):
        clock.now += 1
        node.tell(1)
        node.copied.push()
    assert storage.written == 10
    clock.now += 2 * EVERY
    node.copied.push()
    clock.now += 2 * EVERY
    assert not node.copied.push()
    node.tell(1)
    node.copied.push()
    clock.now += 1
    node.tell(1)
    node.copied.soon()
    assert node.copied.push()


def test_a_copy_that_is_damaged_is_passed_over_and_written_anew(tmp_path: Path, clock: Any) -> None:
    storage = Storage()
    storage.data = b'{"format": 3, "sha256": "0", "saved_at": 9e99}\n{}'
    node = Node(tmp_path, storage, clock)
    node.observer.watch(1, RECORD)
    node.tell(1)
    assert node.copied.push()
    assert Node(tmp_path / "b", storage, clock).requests() == 1


def test_what_begins_from_nothing_while_storage_is_away_does_not_overwrite_it(
    tmp_path: Path, clock: Any
) -> None:
    storage = Storage()
    first = Node(tmp_path / "a", storage, clock)
    first.observer.watch(1, RECORD)
    first.tell(3)
    first.copied.push()
    storage.away = True
    second = Node(tmp_path / "b", storage, clock)
    clock.now += 1
    second.observer.watch(1, RECORD)
    second.tell(1)
    clock.now += EVERY
    here = Node(tmp_path / "a", storage, clock)  # this one has a state, and may copy it
    here.tell(1)
    with pytest.raises(RegistryError):
        here.copied.push()
    storage.away = False
    assert not second.copied.push()
    clock.now += EVERY
    assert here.copied.push()
    assert Node(tmp_path / "c", storage, clock).requests() == 4
