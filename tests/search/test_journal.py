"""Journals: lines come back in order, and only one writer has a number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raymm.errors import RegistryError, SearchError
from raymm.search.journal import Journal, LocalJournal, RemoteJournal, folder_of, is_remote


def open_at(kind: str, folder: Path) -> Journal:
    if kind == "local":
        return LocalJournal(folder / "run" / "lines", writable=True)
    return RemoteJournal(f"memory://{folder.name}", "run/lines")


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
