"""Where the loop that keeps a model good stands, in a file, so that one that ends goes on there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from raymm.artifacts import as_record, from_record
from raymm.monitoring.loop import Situation


def recall(path: Path) -> Situation:
    """Return the situation kept in a file; a training that was cut off is begun no second time.

    Where persons asked for it the situation still holds that wish, by which it goes on. Older files
    do not tell which training came to an end: one that was not cut off counts as such. What cannot
    be read counts as none.
    """
    try:
        record = json.loads(path.read_text())
        kept = from_record(Situation, record)
        older = "completed" not in record
    except (OSError, ValueError, TypeError, AttributeError):
        return Situation()
    cut = kept.stage == "training" and kept.number is None
    if cut:
        return replace(kept, stage="watching")
    return replace(kept, completed=kept.trained_at) if older else kept


def remember(path: Path, situation: Situation) -> None:
    """Keep the situation in a file, replaced as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stage = path.with_suffix(f".{os.getpid()}.tmp")
    with stage.open("w") as file:
        json.dump(as_record(situation), file)
        file.flush()
        os.fsync(file.fileno())
    stage.replace(path)
