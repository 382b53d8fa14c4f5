"""Which strings name bundle files, and refusals of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.bundle import on_disk
from raymm.errors import BundleError, ConfigError, NotFound

HERE = Path(__file__).parent


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_any_version_is_read(version):
    path = HERE / f"version_{version}.raymm"
    assert on_disk.path_of(str(path)) == path
    assert on_disk.read(path).graph


def test_a_name_is_a_file_where_no_model_could_be_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert on_disk.path_of("wine") is None
    assert on_disk.path_of("folder/wine") is None
    assert on_disk.path_of("wine.raymm") is None  # a model may be called so
    for name in ("./wine.raymm", "folder/wine.raymm", "Wine.raymm", "wine.RAYMM"):
        assert on_disk.path_of(name) == Path(name)
    assert on_disk.path_of(Path("wine")) == Path("wine")
    (tmp_path / "wine.raymm").write_bytes(b"")
    assert on_disk.path_of("wine.raymm") == Path("wine.raymm")


def test_other_files_are_told_with_what_makes_bundles_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    for name in ("trees.txt", "a b/trees.JSON", "trees.ubj", "./trees.onnx"):
        assert f"there is no file {name}" in on_disk.other(name)
        (tmp_path / name).write_bytes(b"")
        assert "is a model file" in on_disk.other(name)
    assert "raymm compress 'a b/trees.JSON' --data" in on_disk.other("a b/trees.JSON")
    for name in ("rows.csv", "./rows", "rows"):
        assert on_disk.other(name) == ""
        (tmp_path / name).write_bytes(b"")
    assert "end in .raymm" in on_disk.other("rows.csv")
    assert "end in .raymm" in on_disk.other("./rows")
    assert on_disk.other("rows") == ""  # a model's name, perhaps mistyped


@pytest.mark.parametrize("name", ["a" * 300, "~nobody-is-called-so/rows", "a\0.csv"])
def test_a_name_that_no_file_can_have_is_that_of_none(name):
    assert on_disk.other(name) == ""


def test_a_missing_damaged_or_foreign_file_is_named(tmp_path):
    path = tmp_path / "x.raymm"
    with pytest.raises(NotFound, match=r"no file .*x\.raymm"):
        on_disk.read(path)
    whole = (HERE / "version_3.raymm").read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"a,b\n1,2\n" * 9, b""):
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"x\.raymm: the bundle file is damaged"):
            on_disk.read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        on_disk.read(tmp_path)


def test_a_file_larger_than_any_bundle_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(on_disk, "LARGEST_FILE", 10)
    (tmp_path / "x.raymm").write_bytes(b"x" * 11)
    with pytest.raises(BundleError, match="at most 10 bytes, but has 11"):
        on_disk.read(tmp_path / "x.raymm")
