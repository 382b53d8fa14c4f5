"""A ledger written by any earlier format is told again in its own order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raymm.artifacts import Float, Space, Trial
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.session import Session

SPACE: Space = {"x": Float(-1.0, 1.0)}
LIMITS = Limits(metric="loss", direction="minimize", trials=9)


class Diary(Searcher):
    """Writes down what it is asked and told."""

    multi_fidelity = True

    def __init__(self) -> None:
        super().__init__(SPACE, mode="minimize", generator=np.random.default_rng(0))
        self.said: list[object] = []

    def suggest(self, count: int) -> list[Suggestion]:
        self.said.append("asked")
        return [Suggestion(f"d{len(self.said)}", {"x": 0.0}, 1.0)]

    def observe(self, results: Sequence[Result]) -> None:
        self.said += [(r.id, r.value, r.budget, r.final) for r in results]


def test_records_are_told_in_their_order(tmp_path: Path) -> None:
    config = {"x": 0.5}
    first = Trial(id="a", number=0, config=config, status="finished", value=3.0, rungs=((1, 3.0),))
    later = Trial(
        id="a", number=0, config=config, status="finished", value=2.0, rungs=((1, 3.0), (3, 2.0))
    )
    with Ledger.open(str(tmp_path), "run") as ledger:
        ledger.append("suggestion", number=0, id="a", config=config, budget=1.0)
        ledger.append("rung", number=0, rounds=1, value=3.0, fold_values=[], go_on=True)
        ledger.append("trial", trial=first, failed=False, cpu_seconds=1.5)
        ledger.append("note", text="nobody's business")
        ledger.append("suggestion", withdrawn=True, id="b", config=config, budget=1.0)
        ledger.append("suggestion", nothing=True)
        ledger.append("suggestion", number=0, id="a", config=config, budget=3.0)
        ledger.append("rung", number=0, rounds=3, value=2.0, fold_values=[], go_on=True)
        ledger.append("trial", trial=later, failed=False, cpu_seconds=1.5)
        searcher = Diary()
        session = Session(searcher, None, ledger, limits=LIMITS)
    assert searcher.said == [
        "asked",
        ("a", 3.0, 1.0, False),
        ("a", 3.0, 1.0, True),
        "asked",
        ("b", None, 1.0, True),
        "asked",
        "asked",
        ("a", 2.0, 3.0, False),
        ("a", 2.0, 3.0, True),
    ]
    assert session.result("trials").trials == (later,)


def test_records_without_the_later_keys_are_read(tmp_path: Path) -> None:
    failed = Trial(id="a", number=0, config={"x": 0.5}, status="failed", seconds=2.0, error="no")
    with Ledger.open(str(tmp_path), "run") as ledger:
        ledger.append("suggestion", number=0, id="a", config={"x": 0.5}, budget=None)
        ledger.append("trial", trial=failed)
        searcher = Diary()
        limits = Limits(metric="loss", direction="minimize", compute=2.0)
        session = Session(searcher, None, ledger, limits=limits)
    assert searcher.said == ["asked", ("a", None, None, True)]
    assert session.spending.over() == "compute"
