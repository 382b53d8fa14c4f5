"""The ledger: what was appended is read back, a torn end is cut off, damage is named."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Trial
from raymm.errors import NotFound, RegistryError, SearchError
from raymm.search.ledger import Ledger, decode, encode, list_runs

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9)
)


def a_trial(number: int, value: float | None = 0.5) -> Trial:
    return Trial(
        id=f"r{number}",
        number=number,
        config={"x": number / 7, "family": "linear"},
        status="failed" if value is None else "finished",
        value=value,
        fold_values=() if value is None else (value, value),
        rungs=() if value is None else ((20, value),),
        seconds=1.25,
    )


def file_of(storage: Path, run: str = "run") -> Path:
    return storage / "runs" / run / "ledger.jsonl"


@given(st.dictionaries(st.text(min_size=1), SCALARS | st.lists(SCALARS), max_size=5))
def test_a_line_is_json_and_reads_back_as_it_was(record: dict[str, object]) -> None:
    record = {
        key: value for key, value in record.items() if key not in {"v", "n", "kind", "elapsed"}
    }
    line = encode(3, "note", 1.5, record)
    assert line.count(b"\n") == 1
    assert json.loads(line)["n"] == 3
    read = decode(line, 3, "here")
    assert {key: read[key] for key in record} == record


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_found(place: int, change: int) -> None:
    line = bytearray(encode(0, "note", 0.0, {"text": "some words", "x": 1.25}))
    place %= len(line) - 1
    line[place] ^= change
    with pytest.raises(RegistryError, match="here"):
        decode(bytes(line), 0, "here")


@pytest.mark.parametrize("storage", ["local", "memory"])
def test_what_was_appended_is_there_after_opening_again(storage: str, tmp_path: Path) -> None:
    place = str(tmp_path) if storage == "local" else f"memory://{tmp_path.name}"
    with Ledger.open(place, "run") as ledger:
        ledger.append("note", text="first")
        for number in (1, 0, 2):
            ledger.append("trial", trial=a_trial(number, None if number == 2 else number / 3))
        ledger.finish_stage("build", "abc", {"bundle": "123"})
        digest = ledger.digest()
    with Ledger.open(place, "run") as again:
        assert [trial.number for trial in again.trials()] == [0, 1, 2]
        assert again.trials()[1] == a_trial(1, 1 / 3)
        assert again.digest() == digest
        assert again.stage("build", "abc") == {"bundle": "123"}
        assert again.stage("build", "other") is None
    assert Ledger.read(place, "run").records() == again.records()
    assert list(list_runs(place)) == ["run"]


@pytest.mark.slow
def test_every_cut_of_the_file_leaves_the_whole_lines(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as ledger:
        for number in range(3):
            ledger.append("note", number=number)
    path = file_of(tmp_path)
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        assert len(Ledger.read(str(tmp_path), "run").records()) == whole
        with Ledger.open(str(tmp_path), "run") as ledger:
            ledger.append("note", number=99)
        read = Ledger.read(str(tmp_path), "run").records()
        assert [record["number"] for record in read] == [*range(whole), 99]


def test_damage_before_the_end_names_the_line(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as ledger:
        for number in range(3):
            ledger.append("note", number=number)
    path = file_of(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"number": 1', b'"number": 7') + lines[2])
    with pytest.raises(RegistryError, match="line 2"):
        Ledger.open(str(tmp_path), "run")
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(RegistryError, match="line 2"):
        Ledger.read(str(tmp_path), "run")


def test_a_second_writer_is_refused_and_may_write_after(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as first:
        with pytest.raises(SearchError, match=str(os.getpid())):
            Ledger.open(str(tmp_path), "run")
        first.append("note")
        assert len(Ledger.read(str(tmp_path), "run").records()) == 1
    with Ledger.open(str(tmp_path), "run") as second:
        second.append("note")


def test_a_second_writer_to_a_bucket_is_refused(tmp_path: Path) -> None:
    place = f"memory://{tmp_path.name}"
    first, second = Ledger.open(place, "run"), Ledger.open(place, "run")
    first.append("note", who=1)
    with pytest.raises(SearchError, match="Another process"):
        second.append("note", who=2)
    assert [r["who"] for r in Ledger.read(place, "run").records()] == [1]


def test_a_full_disk_is_said_and_nothing_half_written_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(str(tmp_path), "run")
    ledger.append("note", number=0)
    write = os.write

    def fill(handle: int, data: bytes) -> int:
        write(handle, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        with pytest.raises(RegistryError, match="full"):
            ledger.append("note", number=1)
    assert len(ledger.records()) == 1
    ledger.append("note", number=2)
    ledger.close()
    assert [r["number"] for r in Ledger.read(str(tmp_path), "run").records()] == [0, 2]


def test_the_digest_knows_configurations_and_values_but_no_times(tmp_path: Path) -> None:
    digests = []
    for run, seconds, value in (("a", 1.0, 0.5), ("b", 9.0, 0.5), ("c", 1.0, 0.6)):
        with Ledger.open(str(tmp_path), run) as ledger, ledger.searching():
            trial = Trial(
                id="x", number=0, config={"x": 1}, status="finished", value=value, seconds=seconds
            )
            ledger.append("trial", trial=trial)
            digests.append(ledger.digest())
    assert digests[0] == digests[1] != digests[2]


def test_time_counts_only_while_searching_and_over_all_sessions(tmp_path: Path) -> None:
    before = 0.0
    for _ in range(2):
        with Ledger.open(str(tmp_path), "run") as ledger:
            assert ledger.elapsed == pytest.approx(before, abs=1e-5)
            with ledger.searching():
                time.sleep(0.02)
                ledger.append("note")
            assert ledger.elapsed >= before + 0.02
            before = float(ledger.records()[-1]["elapsed"])
            stands = ledger.elapsed
            time.sleep(0.02)
            assert ledger.elapsed == stands


def test_no_such_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        Ledger.read(str(tmp_path), "nothing")
    assert list(list_runs(str(tmp_path))) == []


@pytest.mark.slow
def test_ten_thousand_trials_are_read_in_seconds(tmp_path: Path) -> None:
    lines = [encode(n, "trial", float(n), {"trial": a_trial(n)}) for n in range(10_000)]
    path = file_of(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(lines))
    began = time.process_time()
    assert len(Ledger.read(str(tmp_path), "run").trials()) == 10_000
    # 0.2 s of processor time on an idle core; ten times that leaves room for a slow one.
    assert time.process_time() - began < 2.0


@pytest.mark.slow
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom raymm.search.ledger import Ledger\n"
        "ledger = Ledger.open(sys.argv[1], 'run')\n"
        "for n in range(10**6):\n"
        "    ledger.append('note', number=n)\n    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    told += [int(line) for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    with Ledger.open(str(tmp_path), "run") as ledger:
        kept = [record["number"] for record in ledger.records()]
    assert kept[: len(told)] == told
    assert kept == list(range(len(kept)))
