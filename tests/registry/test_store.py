from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.errors import ConfigError, Conflict, NotFound, RegistryError
from raymm.registry.store import Store, blob_path, check_name


@given(data=st.binary(max_size=1000))
@settings(max_examples=30, deadline=None)
def test_a_blob_comes_back_as_it_was_stored_under_its_hash(data: bytes) -> None:
    store = Store("memory://blobs")
    sha256 = store.put_blob(data)
    assert sha256 == hashlib.sha256(data).hexdigest() == store.put_blob(data)
    assert store.get_blob(sha256) == data


def test_a_blob_survives_on_every_store(uri: str) -> None:
    sha256 = Store(uri).put_blob(b"content")
    assert Store(uri).get_blob(sha256) == b"content"
    assert Store(uri).list("blobs") == (f"blobs/{sha256[:2]}/{sha256}",)


def test_create_refuses_what_exists_and_keeps_it(uri: str) -> None:
    store = Store(uri)
    store.create("a/b.json", b"first")
    with pytest.raises(Conflict):
        store.create("a/b.json", b"second")
    assert store.read("a/b.json") == b"first"


def test_what_is_not_there_is_not_found(uri: str) -> None:
    store = Store(uri)
    with pytest.raises(NotFound):
        store.read("a/b.json")
    with pytest.raises(NotFound):
        store.get_blob("0" * 64)
    assert store.list("a") == ()


def test_reading_more_than_the_limit_is_refused(uri: str) -> None:
    store = Store(uri)
    sha256 = store.put_blob(b"12345")
    assert store.get_blob(sha256, limit=5) == b"12345"
    with pytest.raises(RegistryError, match="at most 4 bytes, but has 5"):
        store.get_blob(sha256, limit=4)


def test_every_damage_to_a_blob_is_seen_and_a_new_put_mends_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    data = b"a bundle"
    sha256 = store.put_blob(data)
    file = tmp_path / blob_path(sha256)
    for damaged in (b"", data[:-1], data + b"x", b"A bundle"):
        file.write_bytes(damaged)
        with pytest.raises(RegistryError, match="damaged"):
            store.get_blob(sha256)
    assert store.put_blob(data) == sha256
    assert store.get_blob(sha256) == data


def test_a_file_uri_is_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    Store(str(folder)).create("a", b"1")
    assert Store(f"file://{str(folder).replace(' ', '%20')}").read("a") == b"1"


def test_memory_stores_are_shared_by_name_and_only_by_name() -> None:
    Store("memory://one").create("x", b"1")
    assert Store("memory://one").read("x") == b"1"
    with pytest.raises(NotFound):
        Store("memory://two").read("x")


@pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/passwd", "a//b", ".staging/x", "", "a\n"])
def test_a_path_never_leaves_the_storage(uri: str, path: str) -> None:
    with pytest.raises(RegistryError):
        Store(uri).create(path, b"")
    with pytest.raises(RegistryError):
        Store(uri).read(path)


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_blob_is_named_by_hex_digits_only(uri: str, sha256: str) -> None:
    with pytest.raises(RegistryError, match="64 hex digits"):
        Store(uri).get_blob(sha256)


@pytest.mark.parametrize("name", ["", "..", "../x", "A", "a/b", "a b", "a\n", "-a", "x" * 64])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must be 1 to 63"):
        check_name(name)


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="s3://"):
        Store("ftp://host/x")


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "new"))
    store.put_blob(b"secret")
    for folder, folders, files in os.walk(tmp_path / "new"):
        for name in folders:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600


def test_the_file_is_synced_before_it_is_named_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    store.create("a/first", b"1")
    events: list[str] = []
    sync, link = os.fsync, os.link

    def seen_sync(number: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        sync(number)

    def seen_link(source: Path, target: Path) -> None:
        events.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", seen_sync)
    monkeypatch.setattr(os, "link", seen_link)
    store.create("a/second", b"2")
    assert events == ["file", "name", "folder"]


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(str(tmp_path))
    store.create("a/b", b"1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryError, match="full"):
        store.create("a/c", b"x")
    assert store.list("a") == ("a/b",)
    assert list((tmp_path / ".staging").iterdir()) == []


def test_of_many_creators_one_wins_and_readers_see_all_or_nothing(uri: str) -> None:
    store = Store(uri)
    won: list[int] = []
    contents = [bytes([n]) * 200_000 for n in range(8)]
    start = threading.Barrier(9)
    torn: list[bytes] = []

    def create(n: int) -> None:
        start.wait()
        try:
            store.create("race", contents[n])
        except Conflict:
            return
        won.append(n)

    def read() -> None:
        start.wait()
        for _ in range(50):
            try:
                seen = store.read("race")
            except NotFound:
                continue
            if seen not in contents:
                torn.append(seen)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert torn == []
    assert store.read("race") == contents[won[0]]


def test_strays_are_of_dead_writers_only(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.create("a", b"1")
    host = os.uname().nodename.replace(".", "-").replace("_", "-")
    (tmp_path / ".staging" / f"{host}.{os.getpid()}.living").write_bytes(b"")
    (tmp_path / ".staging" / f"{host}.{2**22 + 1}.dead").write_bytes(b"")
    assert store.strays() == (f".staging/{host}.{2**22 + 1}.dead",)
    store.remove_stray(store.strays()[0])
    assert store.strays() == ()
