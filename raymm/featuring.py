"""The features stage: what is worth its place is decided once, before the search, and recorded."""

from __future__ import annotations

from dataclasses import replace

from raymm import worth
from raymm.artifacts import Progress
from raymm.data import statistics
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
    begun = any(one["name"] == _STAGE for one in life.ledger.records("stage"))
    if not (select or interact) or (life.ledger.trials() and not begun):
        return life
    quick = Quick(
        task=schema.task,
        classes=len(schema.classes),
        seed=life.config.seed,
        threads=threads(life.config),
        absolute=life.metric.name in _ABSOLUTE,
    )
    deciding = {"select": select, "interact": interact, "absolute": quick.absolute}
    found = kept(
        life,
        _STAGE,
        deciding,
        Worth,
        lambda: worth.weigh(life.dataset, quick, select=select, interact=interact),
    )
    for finding in found.findings:
        life.notify(Progress(stage=_STAGE, message=finding.statement))
    dataset = worth.applied(life.dataset, found)
    return replace(
        life, dataset=dataset, statistics=statistics.reference(dataset), weighed=found.findings
    )
