from pathlib import Path

import obstore
import pandas as pd
import pytest

from raymm.data import ingest
from raymm.data.files import memory
from raymm.data.ingest import read
from raymm.data.partitions import partitions

FRAME = pd.DataFrame({"a": range(6), "y": ["u", "v"] * 3})


def test_keys_of_all_files_whose_values_differ_are_columns() -> None:
    names = ["x=1/t/b=u%20v/c=1/f.csv", "x=1/t/b=w/f.csv", "x=1/t/b=__HIVE_DEFAULT_PARTITION__/f"]
    assert partitions(names) == {"b": ["u v", "w", ""]}
    assert partitions(names[:1]) == partitions([]) == {}
    assert partitions(["t/a=1.csv", "t/a=2.csv"]) == {}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_folders_named_by_values_give_a_column(tmp_path: Path, form: str) -> None:
    for year in (2022, 2023):
        folder = tmp_path / f"year={year}" / "month=1"
        folder.mkdir(parents=True)
        path = folder / f"part-0.{form}"
        FRAME.to_csv(path, index=False) if form == "csv" else FRAME.to_parquet(path)
        obstore.put(memory(), f"hive-{form}/year={year}/part-0.{form}", path.read_bytes())
    for source in (str(tmp_path), f"{tmp_path}/year=*/month=1/*", f"memory://hive-{form}"):
        table = read(source)
        assert list(table.frame.columns) == ["a", "y", "year"]
        assert table.frame["year"].tolist() == ["2022"] * 6 + ["2023"] * 6
        assert any('"year"' in note for note in table.notes)


def test_a_column_of_the_files_wins_over_the_folder(tmp_path: Path) -> None:
    for a in (7, 8):
        (tmp_path / f"a={a}").mkdir()
        FRAME.to_csv(tmp_path / f"a={a}" / "t.csv", index=False)
    assert read(str(tmp_path)).frame["a"].tolist() == [str(i) for i in range(6)] * 2


def test_large_text_keeps_the_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for year in (2022, 2023):
        (tmp_path / f"year={year}").mkdir()
        FRAME.to_csv(tmp_path / f"year={year}" / "t.csv", index=False)
    monkeypatch.setattr(ingest, "LARGE", 1)
    table = read(str(tmp_path))
    assert table.frame["year"].tolist() == ["2022"] * 6 + ["2023"] * 6
