"""Checkpoints come back as they were given."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.search.checkpoint import Folder, pack, unpack

THINGS = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(THINGS)
def test_an_object_comes_back(thing: object) -> None:
    assert unpack(pack(thing), Path("unused")) == thing


def test_a_packed_object_is_a_snapshot() -> None:
    thing = [1]
    data = pack(thing)
    thing.append(2)
    assert unpack(data) == [1]


def test_a_folder_comes_back_whole(tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "a" / "b").mkdir(parents=True)
    (given / "a" / "b" / "c.bin").write_bytes(bytes(range(256)))
    (given / "empty").write_bytes(b"")
    for path in (given, str(given)):
        back = unpack(pack(path), tmp_path / "back")
        assert (back / "a" / "b" / "c.bin").read_bytes() == bytes(range(256))
        assert (back / "empty").read_bytes() == b""
    assert isinstance(unpack(pack(given)), Folder)


def test_a_path_must_lead_to_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, tmp_path / "none"):
        with pytest.raises(ValueError, match="folder"):
            pack(path)


def test_a_text_that_names_no_folder_is_an_object() -> None:
    assert unpack(pack("no/such/folder")) == "no/such/folder"
