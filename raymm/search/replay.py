"""A ledger told again to a fresh session, record by record.

The searcher is asked and told, and the scheduler decides, in the order of the records, so both
stand where they stood. Where another version of the searcher now suggests otherwise, what was
tried is what the record says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raymm.search.ledger import Ledger, Record, trial_of
from raymm.search.searcher import Suggestion
from raymm.search.trial import Rung

if TYPE_CHECKING:
    from raymm.search.session import Session


def replay(session: Session, ledger: Ledger) -> None:
    """Bring a fresh session to where the ledger's last record left it; O(records)."""
    steps: dict[str, Callable[[Session, Record], None]] = {
        "suggestion": _suggestion,
        "rung": _rung,
        "trial": _trial,
    }
    for record in ledger.each():
        step = steps.get(record["kind"])
        if step is not None:
            step(session, record)


def _suggestion(session: Session, record: Record) -> None:
    # Asking keeps the searcher's random stream in step, whatever it says.
    session.ask()
    if record.get("nothing"):
        session.nothing()
        return
    suggestion = Suggestion(
        record["id"], record["config"], record["budget"], parent=record.get("parent")
    )
    if record.get("withdrawn"):
        session.withdraw(suggestion)
    else:
        session.begin(record["number"], suggestion)


def _rung(session: Session, record: Record) -> None:
    rung = Rung(
        rounds=record["rounds"],
        value=record["value"],
        fold_values=tuple(record["fold_values"]),
        **({"metrics": record["metrics"]} if "metrics" in record else {}),
        pace=record.get("pace", 1.0),
    )
    session.decide(record["number"], rung)
    session.keep_rung(record["number"], rung, go_on=record["go_on"])


def _trial(session: Session, record: Record) -> None:
    ended = trial_of(record["trial"])
    session.keep(
        ended,
        failed=bool(record.get("failed", ended.status == "failed")),
        cpu_seconds=float(record.get("cpu_seconds", ended.seconds)),
    )
