"""The features stage: what is worth its place is decided once, before the search, and recorded."""

from __future__ import annotations

import time
from dataclasses import replace

from raymm import worth
from raymm.artifacts import Progress
from raymm.data import statistics
from raymm.errors import Interrupted
from raymm.models.quick import Quick
from raymm.stages import Life, kept, threads
from raymm.worth import Worth

_STAGE = "features"
_ABSOLUTE = frozenset({"mae", "mape"})


def decided(life: Life) -> Life:
    """Return the life with the features that are worth their place; see `raymm.worth`.

    The columns and interactions of an edited schema are obeyed as they are written there. A run
    whose trials were made before anything was decided goes on without.
    """
    data, schema = life.config.data, life.dataset.schema
    select = data.select == "auto" and data.schema_file is None
    interact = data.interactions == "auto" and schema.interactions is None
    known = any(one["name"] == _STAGE for one in life.ledger.records("stage"))
    if not (select or interact) or (life.ledger.trials() and not known):
        return life
    quick = Quick(
        task=schema.task,
        classes=len(schema.classes),
        seed=life.config.seed,
        threads=threads(life.config),
        absolute=life.metric.name in _ABSOLUTE,
        logarithm=life.metric.name == "rmsle",
    )
    judged = {"absolute": quick.absolute, "logarithm": quick.logarithm}
    deciding = {"select": select, "interact": interact, **judged}
    begun = time.monotonic()
    found = kept(life, _STAGE, deciding, Worth, lambda: _weighed(life, quick, select, interact))
    told = [finding.statement for finding in found.findings] or [_nothing(life)]
    for statement in told:
        life.notify(Progress(stage=_STAGE, message=statement))
    dataset = worth.applied(life.dataset, found)
    return replace(
        life,
        dataset=dataset,
        statistics=statistics.reference(dataset),
        weighed=found.findings,
        spent=time.monotonic() - begun,
    )


def _nothing(life: Life) -> str:
    rows = len(life.dataset.train)
    if rows < worth.LEAST_ROWS:
        return f"as they are: {rows} training rows are too few to decide, {worth.LEAST_ROWS} do"
    return "as they are: quick tries can tell nothing of them"


def _weighed(life: Life, quick: Quick, select: bool, interact: bool) -> Worth:
    """Weigh the features; where a try fails, the table is taken as it is."""
    try:
        return worth.weigh(life.dataset, quick, select=select, interact=interact)
    except (Interrupted, OSError, MemoryError):
        raise
    except Exception as error:  # of any library; the search meets it too, or does without
        told = f"nothing is left out or put in: {error}"
        life.notify(Progress(stage=_STAGE, message=told))
        return Worth()
