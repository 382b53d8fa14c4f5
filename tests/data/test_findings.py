from raymm.data.findings import Findings, shown


def test_repairs_are_notes_and_anomalies_and_notes_are_told_once() -> None:
    found = Findings()
    found.note("a")
    found.note("a")
    found.name = "2.csv"
    found.repair("ragged rows", "2 rows were cut", "Mend them.", column="x")
    assert found.notes == ["a", "2.csv: 2 rows were cut"]
    (anomaly,) = found.anomalies
    assert (anomaly.rule, anomaly.column, anomaly.severity) == ("ragged rows", "x", "warning")
    assert anomaly.observed == "2.csv: 2 rows were cut"


def test_only_ten_lines_are_shown() -> None:
    assert shown(range(1, 12)) == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …"
