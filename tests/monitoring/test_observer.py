from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import (
    Batch,
    ColumnStatistics,
    Errors,
    Feedback,
    Predictions,
    Statistics,
    Target,
    as_record,
)
from raymm.errors import RegistryError
from raymm.monitoring import observer as module
from raymm.monitoring.observer import FORGOTTEN_AFTER, MOST_VERSIONS, NICENESS, Observer, give_way
from raymm.monitoring.predictions import bins_of
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
SECOND_FORMAT = (Path(__file__).parent / "state_format_2.json").read_text()
FIRST_FORMAT = (Path(__file__).parent / "state_format_1.json").read_text()
RECORD = as_record(Statistics(rows=400, columns=(COLUMN,)))


def told(rows: int = 10, version: int = 1) -> Batch:
    values = np.linspace(-1, 1, rows, dtype=np.float32)
    return Batch(rows=rows, version=version, seconds=0.1, tensors={"x": values}, predictions=values)


def observer(path: Path, clock: Any, window: int = 1000) -> Observer:
    config = MonitoringConfig(window=window)
    return Observer("churn", config=config, path=path / "state.json", clock=clock)


def test_it_goes_on_from_what_it_flushed(tmp_path: Path, clock: Any) -> None:
    first = observer(tmp_path, clock)
    assert first.report() == {}
    assert first.tell([told()]) is None
    first.watch(1, RECORD)
    assert first.tell([told(), told()], client="a", sequence=4) == 1
    first.flush()
    report = first.report()
    first.tell([told()])  # what is not flushed is lost, and no more
    second = observer(tmp_path, clock)
    assert second.report() == report
    assert (report["model"], report["version"], report["requests"]) == ("churn", 1, 2)
    assert report["window"]["filled"] == 20
    second.tell([told()], client="a", sequence=4)
    assert second.report()["requests"] == 2
    json.dumps(report, allow_nan=False)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=30))
def test_a_repeated_telling_counts_once(sent: list[tuple[str, int]]) -> None:
    watched = observer(Path("nowhere"), lambda: 0.0)
    watched.watch(1, RECORD)
    expected, last = 0, {"a": -1, "b": -1}
    for client, sequence in sent:
        watched.tell([told()], client=client, sequence=sequence)
        expected += sequence > last[client]
        last[client] = max(last[client], sequence)
    assert watched.report()["requests"] == expected


def test_a_repeated_telling_of_labels_counts_once() -> None:
    watched = observer(Path("nowhere"), lambda: 0.0)
    watched.watch(1, RECORD)
    labels = Feedback(ids=("a", "b"), labels=("yes", "no"))
    for _ in range(2):
        watched.tell([], client="a", sequence=1, feedback=[labels])
    assert watched.report()["labels"]["labels"] == 2


def test_a_challenger_is_watched_beside_the_champion(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(2, RECORD, champion=False)
    assert watched.tell([told(version=2)]) is None  # there is no champion to report on yet
    watched.watch(1, RECORD)
    watched.tell([told(), told(version=2), told(version=2)])
    watched.watch(2, RECORD, champion=False)
    report = watched.report()
    assert (report["version"], report["requests"]) == (1, 1)
    assert {number: one["requests"] for number, one in report["versions"].items()} == {
        "1": 1, "2": 2,
    }  # fmt: skip
    watched.flush()
    assert observer(tmp_path, clock).report() == report
    watched.watch(2, RECORD)
    report = watched.report()
    assert (report["version"], report["requests"]) == (2, 2)


def test_versions_not_heard_of_are_forgotten_and_a_handful_are_kept(
    tmp_path: Path, clock: Any
) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD)
    for number in range(2, 10):
        clock.now += 1
        watched.watch(number, RECORD, champion=False)
    assert list(watched.report()["versions"]) == ["1", "6", "7", "8", "9"]
    assert len(watched.report()["versions"]) == MOST_VERSIONS
    clock.now += FORGOTTEN_AFTER
    watched.tell([told(version=8)])
    clock.now += 1
    watched.flush()
    assert list(watched.report()["versions"]) == ["1", "8"]


def test_a_state_of_the_first_format_is_gone_on_from(tmp_path: Path, clock: Any) -> None:
    (tmp_path / "state.json").write_text(FIRST_FORMAT)
    report = observer(tmp_path, clock).report()
    assert "note" not in report
    assert (report["version"], report["requests"], report["rows"]) == (3, 1, 10)
    assert report["window"]["filled"] == 10


def test_a_state_of_the_second_format_is_gone_on_from(tmp_path: Path, clock: Any) -> None:
    """Of its 102 predictions two gave way as the oldest, 90 have labels, and ten wait."""
    (tmp_path / "state.json").write_text(SECOND_FORMAT)
    watched = observer(tmp_path, clock)
    report = watched.report()
    assert "note" not in report
    assert (report["quality"]["n"], report["quality"]["waiting"]) == (90, 10)
    assert (report["labels"]["thinned"], report["labels"]["orphaned"]) == (2, 2)
    watched.tell([], feedback=[Feedback(ids=("row 95", "row 2"), labels=(2.0, 2.0))])
    report = watched.report()
    assert (report["quality"]["n"], report["labels"]["doubled"]) == (91, 1)
    watched.flush()
    assert observer(tmp_path, clock).report() == report


def test_coverage_leaves_out_what_was_thinned(tmp_path: Path, clock: Any) -> None:
    config = MonitoringConfig(labels=100)
    watched = Observer("churn", config=config, path=tmp_path / "state.json", clock=clock)
    target = as_record(Target(task="regression", classes=(), metric="rmse"))
    watched.watch(1, RECORD, target=target)
    ids = tuple(f"row {n}" for n in range(150))
    rows = np.ones(150, np.float32)
    watched.tell([Batch(rows=150, version=1, seconds=0.1, predictions=rows, ids=ids)])
    watched.tell([], feedback=[Feedback(ids=ids, labels=(1.0,) * 150)])
    watched.flush()
    quality = observer(tmp_path, clock).report()["quality"]
    assert quality["n"] + quality["thinned"] == 150
    assert (quality["coverage"], quality["waiting"]) == (1.0, 0)
    assert 0 < quality["thinned"] < 100


def test_what_a_later_replica_knows_of_test_rows_is_taken_over(tmp_path: Path, clock: Any) -> None:
    """The first could not read it; labelled rows are kept, and nothing that is known is lost."""
    watched = observer(tmp_path, clock, window=50)
    column = bins_of(np.linspace(-1, 1, 200))
    known = Predictions(column=column, errors=Errors(rows=200, mean=0, deviation=1, skewness=0))
    watched.watch(1, RECORD, target=as_record(Target(task="regression")))
    batch = replace(told(60), ids=tuple(map(str, range(60))))
    watched.tell([batch], feedback=[Feedback(ids=("3", "4"), labels=(1.0, 2.0))])
    assert watched.report()["prediction"]["against"] == "first window"
    for target in (Target(task="regression", predictions=known), Target(task="regression")):
        watched.watch(1, RECORD, target=as_record(target))
        report = watched.report()
        assert report["prediction"]["against"] == "test rows"
        assert (report["requests"], report["quality"]["n"]) == (1, 2)
    watched.flush()
    assert observer(tmp_path, clock, window=50).report() == watched.report()


def test_another_version_counts_as_traffic_only(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(2, RECORD)
    watched.tell([told(version=1), told(version=2)])
    assert watched.report()["requests"] == 2
    assert watched.report()["window"]["filled"] == 10


def test_a_new_version_begins_from_nothing_unless_only_ensured(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD)
    watched.tell([told()])
    watched.watch(1, RECORD)
    watched.watch(2, RECORD, take_over=False)
    assert (watched.version, watched.report()["requests"]) == (1, 1)
    watched.watch(2, RECORD)
    assert (watched.version, watched.report()["requests"]) == (2, 0)


def test_a_new_configuration_keeps_the_counts(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD)
    watched.tell([told(60)])
    watched.configure(MonitoringConfig(window=50))
    report = watched.report()
    assert (report["requests"], report["window"]["complete"]) == (1, 1)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", None])
def test_a_damaged_state_is_put_aside_and_told(
    tmp_path: Path, clock: Any, damage: bytes | None
) -> None:
    first = observer(tmp_path, clock)
    first.watch(1, RECORD)
    first.flush()
    file = tmp_path / "state.json"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"churn", b"x", 1)[:-40] if damage is None else damage)
    second = observer(tmp_path, clock)
    assert second.version is None
    second.watch(1, RECORD)
    assert "damaged" in second.report()["note"]
    assert (tmp_path / "state.damaged").exists()


def test_a_state_that_cannot_be_read_is_told_and_nothing_fails(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = observer(tmp_path, clock)
    first.watch(1, RECORD)
    first.flush()

    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("read_bytes", "exists", "replace"):  # the file, its folder, and to put it aside
        monkeypatch.setattr(Path, name, refused)
        second = observer(tmp_path, clock)
        assert second.version is None
        second.watch(2, RECORD)
        assert "Permission denied" in second.report()["note"]


def test_the_state_is_private_and_whole(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path / "new", clock)
    watched.watch(1, RECORD)
    watched.flush()
    watched.flush()
    assert os.listdir(tmp_path / "new") == ["state.json"]
    assert stat.S_IMODE((tmp_path / "new" / "state.json").stat().st_mode) == 0o600


def test_no_state_holds_where_events_are_told(tmp_path: Path, clock: Any) -> None:
    """A webhook's address may be a secret, and states are copied to the storage."""
    config = MonitoringConfig.model_validate(
        {"window": 77, "events": {"webhook": "https://hooks.example/T0P", "command": ["tell"]}}
    )
    path = tmp_path / "state.json"
    watched = Observer("churn", config=config, path=path, clock=clock)
    watched.watch(1, RECORD)
    watched.flush()
    text = path.read_text()
    assert "hooks" not in text
    assert "tell" not in text
    assert '"window": 77' in text


def test_two_flushes_at_once_write_one_after_the_other(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share a staging file: the second waits, and what it has is written last."""
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD)
    order: list[str] = []
    first_writes, goes_on = threading.Event(), threading.Event()
    replace = module.replace_file

    def slow(path: Path, data: bytes) -> None:
        order.append("begin")
        first_writes.set()
        goes_on.wait(10)
        replace(path, data)
        order.append("end")

    monkeypatch.setattr(module, "replace_file", slow)
    threads = [threading.Thread(target=watched.flush) for _ in range(2)]
    threads[0].start()
    assert first_writes.wait(10)
    watched.tell([told()])
    threads[1].start()
    threads[1].join(0.05)  # it would begin in this time, were it not held back
    goes_on.set()
    for thread in threads:
        thread.join(10)
    assert order == ["begin", "end", "begin", "end"]
    assert observer(tmp_path, clock).report()["requests"] == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, clock: Any) -> None:
    (tmp_path / "file").write_text("")
    watched = observer(tmp_path / "file", clock)
    watched.watch(1, RECORD)
    with pytest.raises(RegistryError, match="could not be written"):
        watched.flush()


def test_rows_that_both_answered_before_the_champion_changed_are_left_out(
    tmp_path: Path, clock: Any
) -> None:
    """Version 2 was right in the trial before it took over, and is wrong since."""
    watched = observer(tmp_path, clock)
    target = as_record(Target(task="binary", classes=("no", "yes"), metric="accuracy"))
    for number in (1, 2):
        watched.watch(number, RECORD, target=target, champion=number == 1)

    def both_answer(ids: tuple[str, ...], right: int) -> None:
        for number in (1, 2):
            answers = np.array([[0, 1] if number == right else [1, 0]] * len(ids), np.float32)
            batch = Batch(
                rows=len(ids), version=number, seconds=0.1, predictions=answers, ids=ids,
            )  # fmt: skip
            watched.tell([batch])

    before, after = (tuple(f"{kind}{n}" for n in range(40)) for kind in "ab")
    both_answer(before, right=2)
    watched.watch(2, RECORD, target=target)
    both_answer(after, right=1)
    watched.watch(2, RECORD, target=target)  # it reigns already
    watched.flush()
    for seen in (watched, observer(tmp_path, clock)):
        seen.tell([], feedback=[Feedback(ids=before + after, labels=("yes",) * 80)])
        found = seen.report()["versions"]["1"]["paired"]
        assert (found["n"], found["gain"]) == (40, 1.0)


def test_a_state_that_does_not_say_since_when_the_champion_reigns_is_gone_on_from(
    tmp_path: Path, clock: Any
) -> None:
    first = observer(tmp_path, clock)
    first.watch(1, RECORD)
    first.flush()
    head, body = (tmp_path / "state.json").read_bytes().split(b"\n")
    content = json.loads(body)
    del content["reigns_since"]
    body = json.dumps(content).encode()
    head = json.dumps({**json.loads(head), "sha256": hashlib.sha256(body).hexdigest()}).encode()
    (tmp_path / "state.json").write_bytes(head + b"\n" + body)
    report = observer(tmp_path, clock).report()
    assert (report["version"], "note" in report) == (1, False)


def test_a_challenger_is_compared_on_the_rows_that_the_champion_answered_too(
    tmp_path: Path, clock: Any
) -> None:
    """It answered half of them, and its labels came in another order, across a restart."""
    watched = observer(tmp_path, clock)
    target = as_record(Target(task="binary", classes=("no", "yes"), metric="accuracy"))
    for number in (1, 2):
        watched.watch(number, RECORD, target=target, champion=number == 1)
    names, truth = [f"row {n}" for n in range(200)], np.arange(200) % 2
    right = {1: np.arange(200) % 4 != 0, 2: np.arange(200) % 8 != 0}
    for number, start in ((1, 0), (2, 100)):
        said = np.where(right[number], truth, 1 - truth)[start:]
        answers = np.column_stack([1 - said, said]).astype(np.float32)
        ids = tuple(names[start:])
        batch = Batch(
            rows=len(ids), version=number, seconds=0.1, predictions=answers, ids=ids,
        )  # fmt: skip
        watched.tell([batch])
    labels = {name: ("no", "yes")[code] for name, code in zip(names, truth, strict=True)}
    order = np.random.default_rng(0).permutation(200)
    for part in np.array_split(order, 7):
        ids = tuple(names[n] for n in part)
        told_now = Feedback(ids=ids, labels=tuple(labels[name] for name in ids))
        watched.tell([], feedback=[told_now])
        watched.flush()
        watched = observer(tmp_path, clock)
    found = watched.report()["versions"]["2"]["paired"]
    assert (found["n"], found["old"], found["new"]) == (100, 0.75, 0.88)
    assert found["gain"] == pytest.approx(0.13)
    assert "paired" not in watched.report()["versions"]["1"]


def test_who_observes_comes_after_who_serves() -> None:
    found: list[int] = []

    def observe() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, 0))
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, 0))

    thread = threading.Thread(target=observe)  # on Linux each thread has its own
    thread.start()
    thread.join()
    assert found[1] == min(found[0] + NICENESS, 19)


def test_who_may_not_give_way_observes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(more: int) -> int:
        raise PermissionError(more)

    monkeypatch.setattr(os, "nice", refuse)
    give_way()
    monkeypatch.delattr(os, "nice")
    give_way()
