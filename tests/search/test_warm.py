"""A new run begins with what earlier ones of its name found, and always with the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.artifacts import Categorical, Float, Space, Trial
from raymm.search.ledger import Ledger
from raymm.search.warm import BEST, warm

SPACE: Space = {"x": Float(-1.0, 1.0)}


def write(
    storage: str,
    run: str,
    values: list[float | None],
    *,
    name: str = "loans",
    metric: str = "auc",
    scale: float = 10.0,
    status: str = "finished",
    of: str | None = "rows",
) -> None:
    with Ledger.open(storage, run) as ledger:
        ledger.append("run", name=name, metric=metric, direction="maximize", source="a.csv")
        if of is not None:
            ledger.append("warm", of=of, runs=(), configs=(), results=())
        for number, value in enumerate(values):
            trial = Trial(
                id=f"t{number}",
                number=number,
                config={"x": number / scale},
                status="failed" if value is None else status,  # type: ignore[arg-type]
                value=value,
                rungs=() if value is None else ((20, value),),
            )
            ledger.append("trial", trial=trial)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_the_best_of_each_run_come_first_and_their_results_are_told(
    kind: str, tmp_path: Path
) -> None:
    storage = str(tmp_path) if kind == "local" else f"memory://warm-{tmp_path.name}"
    write(storage, "loans-a", [0.1, 0.5, None, 0.3])
    write(storage, "loans-b", [0.9, 0.2], scale=7.0, status="stopped")
    write(storage, "loans-c", [], of=None)
    with Ledger.open(storage, "loans-c") as ledger:
        found = warm(ledger, storage, SPACE, gather=True, of="rows")
        assert set(found.runs) == {"loans-a", "loans-b"}
        assert {c["x"] for c in found.configs[:2]} == {0.1, 0.0}
        assert len(found.configs) == min(BEST, 4)
        told = {(r.id, r.value, r.budget) for r in found.results}
        assert ("loans-a:t1", 0.5, None) in told
        assert ("loans-b:t0", 0.9, 20.0) in told
        assert len(told) == 5
        assert "5 results" in found.said
        write(storage, "loans-d", [0.99])
        assert warm(ledger, storage, SPACE, gather=True, of="rows") == found
    with Ledger.open(storage, "loans-c") as ledger:
        assert warm(ledger, storage, SPACE, gather=False, of="rows") == found


def test_other_names_metrics_and_spaces_and_damage_are_left_out(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-more-a", [0.5], name="loans-more")
    write(storage, "loans-b", [0.5], metric="accuracy")
    write(storage, "loans-c", [0.5, 0.6, 0.7], scale=0.1)
    write(storage, "loans-d", [0.5, 0.6])
    path = tmp_path / "runs" / "loans-d" / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[5:])
    write(storage, "loans-new", [], of=None)
    with Ledger.open(storage, "loans-new") as ledger:
        found = warm(ledger, storage, SPACE, gather=True, of="rows")
    # Of c, only its first configuration lies in the space.
    assert (found.runs, [r.config for r in found.results]) == (("loans-c",), [{"x": 0.0}])


def test_a_switch_that_one_of_two_spaces_lacks_was_off(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-a", [0.5])
    with Ledger.open(storage, "loans-b") as ledger:
        ledger.append("run", name="loans", metric="auc", direction="maximize", source="a.csv")
        ledger.append("warm", of="rows", runs=(), configs=(), results=())
        for number, sets in enumerate((True, False)):
            config = {"x": 0.25, "sets": sets}
            trial = Trial(
                id=f"t{number}", number=number, config=config, status="finished", value=0.4,
                rungs=((20, 0.4),),
            )  # fmt: skip
            ledger.append("trial", trial=trial)
    switched: Space = {**SPACE, "sets": Categorical((False, True))}
    for run, space, expected in (
        ("loans-new", switched, [(0.0, False), (0.25, False), (0.25, True)]),
        ("loans-other", SPACE, [(0.0, None), (0.25, None)]),
    ):
        write(storage, run, [], of=None)
        with Ledger.open(storage, run) as ledger:
            found = warm(ledger, storage, space, gather=True, of="rows")
        told = [(r.config["x"], r.config.get("sets")) for r in found.results]
        assert sorted(told, key=str) == expected


def test_a_run_that_began_cold_stays_cold_and_a_fresh_storage_gives_nothing(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-a", [], of=None)
    with Ledger.open(storage, "loans-a") as ledger:
        assert warm(ledger, storage, SPACE, gather=True, of="rows").said == ""
    write(storage, "loans-b", [0.5])
    with Ledger.open(storage, "loans-a") as ledger:
        assert warm(ledger, storage, SPACE, gather=True, of="rows").runs == ()
    write(storage, "loans-c", [], of=None)
    with Ledger.open(storage, "loans-c") as ledger:
        ledger.append("suggestion", number=0, id="a", config={"x": 0.5}, budget=None)
        assert warm(ledger, storage, SPACE, gather=True, of="rows").runs == ()


def test_values_of_something_else_are_not_told_but_its_best_is_tried(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-a", [0.9, 0.8], of="older rows")
    write(storage, "loans-b", [0.7], scale=7.0, of=None)
    write(storage, "loans-new", [], of=None)
    with Ledger.open(storage, "loans-new") as ledger:
        found = warm(ledger, storage, SPACE, gather=True, of="rows")
    assert set(found.runs) == {"loans-a", "loans-b"}
    assert {"x": 0.1} in found.configs
    assert found.results == ()
    assert "not told" in found.said
    write(storage, "loans-c", [0.6], of="older rows")
    with Ledger.open(storage, "loans-d") as ledger:
        ledger.append("run", name="loans", metric="auc", direction="maximize", source="a.csv")
        found = warm(ledger, storage, SPACE, gather=True, of="older rows")
    assert {r.id.split(":")[0] for r in found.results} <= {"loans-a", "loans-c"}
    assert len(found.results) >= 1
