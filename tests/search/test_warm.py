"""A new run begins with what earlier ones of its name found, and always with the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.artifacts import Float, Space, Trial
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
) -> None:
    with Ledger.open(storage, run) as ledger:
        ledger.append("run", name=name, metric=metric, direction="maximize", source="a.csv")
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


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_the_best_of_each_run_come_first_and_their_results_are_told(
    kind: str, tmp_path: Path
) -> None:
    storage = str(tmp_path) if kind == "local" else f"memory://warm-{tmp_path.name}"
    write(storage, "loans-a", [0.1, 0.5, None, 0.3])
    write(storage, "loans-b", [0.9, 0.2], scale=7.0, status="stopped")
    write(storage, "loans-c", [])
    with Ledger.open(storage, "loans-c") as ledger:
        found = warm(ledger, storage, SPACE, gather=True)
        assert set(found.runs) == {"loans-a", "loans-b"}
        assert {c["x"] for c in found.configs[:2]} == {0.1, 0.0}
        assert len(found.configs) == min(BEST, 4)
        told = {(r.id, r.value, r.budget) for r in found.results}
        assert ("loans-a:t1", 0.5, None) in told
        assert ("loans-b:t0", 0.9, 20.0) in told
        assert len(told) == 5
        assert "5 results" in found.said
        write(storage, "loans-d", [0.99])
        assert warm(ledger, storage, SPACE, gather=True) == found
    with Ledger.open(storage, "loans-c") as ledger:
        assert warm(ledger, storage, SPACE, gather=False) == found


def test_other_names_metrics_and_spaces_and_damage_are_left_out(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-more-a", [0.5], name="loans-more")
    write(storage, "loans-b", [0.5], metric="accuracy")
    write(storage, "loans-c", [0.5, 0.6, 0.7], scale=0.1)
    write(storage, "loans-d", [0.5, 0.6])
    path = tmp_path / "runs" / "loans-d" / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[5:])
    write(storage, "loans-new", [])
    with Ledger.open(storage, "loans-new") as ledger:
        found = warm(ledger, storage, SPACE, gather=True)
    # Of c, only its first configuration lies in the space.
    assert (found.runs, [r.config for r in found.results]) == (("loans-c",), [{"x": 0.0}])


def test_a_run_that_began_cold_stays_cold_and_a_fresh_storage_gives_nothing(tmp_path: Path) -> None:
    storage = str(tmp_path)
    write(storage, "loans-a", [])
    with Ledger.open(storage, "loans-a") as ledger:
        assert warm(ledger, storage, SPACE, gather=True).said == ""
    write(storage, "loans-b", [0.5])
    with Ledger.open(storage, "loans-a") as ledger:
        assert warm(ledger, storage, SPACE, gather=True).runs == ()
    write(storage, "loans-c", [])
    with Ledger.open(storage, "loans-c") as ledger:
        ledger.append("suggestion", number=0, id="a", config={"x": 0.5}, budget=None)
        assert warm(ledger, storage, SPACE, gather=True).runs == ()
