"""What is built where the graph of a recipe does not predict as its models do.

A graph adds in float32, and a tall sum of trees or a steep slope can bring it further from its
models than may be. What the search found is then not lost: the best trial alone is built, or the
next ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from raymm.artifacts import Finding, Progress, Recipe, Trial, Trials, as_record, from_record
from raymm.artifacts.recipe import SAME
from raymm.errors import ParityError
from raymm.models.targets import KEY
from raymm.stages import Built, Life, build

TRIED = 5
"""Recipes built at most after the first: each is trained on all training rows."""
_STAGE = "fallback"


def built(life: Life, trials: Trials, recipe: Recipe) -> tuple[Recipe, Built]:
    """Build a recipe, or where its graph cannot be proven, the first other that can.

    Which one it was is kept in the ledger, so that the same run again builds nothing.

    Returns
    -------
    Recipe, Built
        What was built. Another recipe than the one given says so in its findings.

    Raises
    ------
    ParityError
        The first one, when none can be proven.
    """
    text = json.dumps(recipe.deciding(), sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()
    known = life.ledger.stage(_STAGE, key)
    if known is not None:
        recipe = from_record(Recipe, known)
        return recipe, build(life, recipe)
    try:
        return recipe, build(life, recipe)
    except ParityError as error:
        first = error
    for other in _others(trials, recipe):
        number = other.members[0].trial.number
        life.notify(Progress(stage="build", message=f"{first} Trial {number} alone is tried."))
        try:
            made = build(life, other)
        except ParityError:
            continue
        found = replace(other, findings=(*other.findings, _finding(recipe, other)))
        life.ledger.finish_stage(_STAGE, key, as_record(found))
        return found, made
    raise first


def _others(trials: Trials, recipe: Recipe) -> Iterator[Recipe]:
    """Yield the best trial alone, then those of other families or targets, then the next ones.

    A moved decision stays, unless it was chosen for probabilities that were mended.
    """
    kinds: dict[tuple[Any, Any], Trial] = {}
    for trial in trials.leaderboard:
        kinds.setdefault((trial.family, trial.config.get(KEY)), trial)
    decision = recipe.decision if recipe.calibration == SAME else ()
    stays = {"selection", "interactions", *(["decision"] if decision else [])}
    told = tuple(one for one in recipe.findings if one.policy in stays)
    seen = [recipe.deciding()]
    for trial in (*kinds.values(), *trials.leaderboard):
        other = replace(Recipe.of(trial), decision=decision, findings=told, doubts=recipe.doubts)
        if len(seen) <= TRIED and other.deciding() not in seen:
            seen.append(other.deciding())
            yield other


def _finding(recipe: Recipe, other: Recipe) -> Finding:
    """Say what is shipped; not which row it was, as a report goes where the table must not."""
    chosen = ", ".join(str(one.trial.number) for one in recipe.members)
    trial = other.members[0].trial
    statement = (
        f"Trial {trial.number}, {trial.family}, is shipped alone: the graph of what was chosen, "
        f"of trial {chosen}, does not predict as its models do."
    )
    return Finding(policy="parity", kept=False, statement=statement)
