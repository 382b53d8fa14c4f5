"""Journals: lines come back in order, and only one writer has a number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raymm.errors import RegistryError, SearchError
from raymm.search.journal import BLOCK, Journal, LocalJournal, RemoteJournal, folder_of, is_remote


def open_at(kind: str, folder: Path) -> Journal:
    if kind == "local":
        return LocalJournal(folder / "run" / "lines", writable=True)
    return RemoteJournal(f"memory://{folder.name}", "run/lines")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "remote"])
def test_lines_come_back_in_order(kind: str, tmp_path: Path) -> None:
    journal = open_at(kind, tmp_path)
    lines = [f"line {number}\n".encode() for number in range(120)]
    for number, line in enumerate(lines):
        journal.append(line, number)
    journal.close()
    again = open_at(kind, tmp_path)
    assert [line for line, _ in again.lines()] == lines
    again.close()


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_lines_can_be_had_again_by_number(kind: str, tmp_path: Path) -> None:
    journal = open_at(kind, tmp_path)
    lines = [b"x" * (number + 1) + b"\n" for number in range(6)]
    for number, line in enumerate(lines[:4]):
        journal.append(line, number)
    journal.close()
    journal = open_at(kind, tmp_path)
    assert len(list(journal.lines())) == 4
    for number in (4, 5):
        journal.append(lines[number], number)
    assert list(journal.again([5, 0, 4, 3])) == [lines[5], lines[0], lines[4], lines[3]]
    journal.close()


def test_a_file_that_others_change_meanwhile_is_refused(tmp_path: Path) -> None:
    journal = open_at("local", tmp_path)
    journal.append(b"first\n", 0)
    path = tmp_path / "run" / "lines"
    for content in (b"", b"first, longer\n"):
        path.write_bytes(content)
        with pytest.raises(RegistryError, match="changed by another program"):
            list(journal.again([0]))
    path.unlink()
    with pytest.raises(RegistryError, match="cannot be used"):
        list(journal.again([0]))
    journal.close()


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_a_torn_end_of_any_length_is_cut_off(size: int, tmp_path: Path) -> None:
    path = tmp_path / "run" / "lines"
    path.parent.mkdir()
    for whole in (b"", b"one\n", b"one\ntwo\n"):
        path.write_bytes(whole + b"x" * size)
        journal = open_at("local", tmp_path)
        assert b"".join(line for line, _ in journal.lines()) == whole
        assert path.read_bytes() == whole
        journal.close()


def test_a_reader_takes_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"whole\ntorn")
    with_writer = LocalJournal(path, writable=False)
    assert [line for line, _ in with_writer.lines()] == [b"whole\n"]
    assert path.read_bytes() == b"whole\ntorn"


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    first = open_at("local", tmp_path)
    with pytest.raises(SearchError, match=f"process {os.getpid()}"):
        open_at("local", tmp_path)
    first.close()
    open_at("local", tmp_path).close()


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises(RegistryError, match="cannot be used"):
        open_at("local", tmp_path)
    with pytest.raises(RegistryError, match="cannot be used"):
        RemoteJournal("nonsense://x", "run")


def test_urls_are_told_from_folders() -> None:
    assert is_remote("s3://bucket/x")
    assert not is_remote("file:///var/lib/raymm")
    assert folder_of("file:///var/lib/my%20raymm") == folder_of("/var/lib/my raymm")
    assert folder_of("~/raymm") == Path.home() / "raymm"
    assert not is_remote("/var/lib/raymm")


def test_a_bucket_that_repeats_a_request_is_no_other_writer(tmp_path: Path) -> None:
    journal = open_at("remote", tmp_path)
    journal.append(b"ours\n", 0)
    journal.append(b"ours\n", 0)
    with pytest.raises(SearchError, match="Another process"):
        journal.append(b"theirs\n", 0)
    assert [line for line, _ in open_at("remote", tmp_path).lines()] == [b"ours\n"]
