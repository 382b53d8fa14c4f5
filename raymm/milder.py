"""What ships where the test rows refuse a compressed bundle: one that loses less, if there is one.

A refusal says that the form which was chosen loses too much, not that every form does. One other is
tried, once: with every further one, more of what the test rows say would be chance.
"""

from __future__ import annotations

from dataclasses import replace

from raymm import proving
from raymm.artifacts import Blessing, Candidate, Check, Frontier, Progress, Recipe
from raymm.compression.applying import within_limits
from raymm.compression.schedule import told
from raymm.errors import ParityError
from raymm.proving import Proof
from raymm.sections import Limits
from raymm.stages import Built, Life, chosen, compressed, fitted, kept, load

SMALLER = 0.7
"""Share of the bytes before compression that another form may take, to be worth its proof."""


def proven(life: Life, recipe: Recipe, built: Built) -> tuple[Built, Proof]:
    """Prove what was built, and where its compressed form is refused, one that loses less.

    Returns
    -------
    Built, Proof
        As given, and what `raymm.proving.prove` says of it; or the other form's, whose check
        "compression" names the one that was refused.
    """
    first = proving.prove(life, built)
    if first.bundle != built.full or built.bundle == built.full:
        return built, first
    form = milder(built.frontier, life.config.goal.limits)
    if form is None:
        return built, first
    which = told(form.technique, form.parameters)
    life.notify(Progress(stage="build", message=f"The test rows refuse it; {which} loses less."))
    try:
        other = rebuilt(life, recipe, built, form)
    except ParityError:
        return built, first
    if other.bundle in (other.full, built.bundle):
        return built, first
    second = proving.prove(life, other)
    if second.bundle != other.bundle or not second.blessing.blessed:
        return built, first
    return other, _with_reason(second, first, built.frontier)


def rebuilt(life: Life, recipe: Recipe, built: Built, form: Candidate) -> Built:
    """Compress what was built in another of the ways that were measured."""
    candidates = tuple(replace(one, chosen=one is form) for one in built.frontier.candidates)
    found = replace(built.frontier, candidates=candidates)
    deciding = {"built": [built.bundle, built.full], "form": [form.technique, form.parameters]}

    def make() -> Built:
        # A process that goes on trains again, and not all libraries to the same bytes.
        return compressed(life, load(life, built.full), fitted(life, recipe)[1], found)

    return kept(life, proving.REBUILD, deciding, Built, make)


def milder(found: Frontier, limits: Limits) -> Candidate | None:
    """Return the form that surely loses least of those that could have been chosen too.

    None where each loses as much as the one that was, is beyond the limits, or is hardly smaller
    than the whole.
    """
    first, whole = chosen(found), found.candidates[0]
    # What is left out may have been measured: its log loss or calibration is likely to fail too.
    refused = {one.partition(": ")[0] for one in found.left_out}
    able = [
        one
        for one in found.candidates[1:]
        if one is not first
        and one.bytes <= SMALLER * whole.bytes
        and _surely(one) < _surely(first)
        and (one.over_control is None or one.over_control.low > 0)
        and told(one.technique, one.parameters) not in refused
        and within_limits(one, limits)
    ]
    return min(able, key=lambda one: (_surely(one), one.bytes), default=None)


def _surely(one: Candidate) -> float:
    return max(one.loss.high, one.loss.value)


def _with_reason(proof: Proof, refused: Proof, found: Frontier) -> Proof:
    """Return a proof whose check "compression" tells of the form that was refused before."""
    first = chosen(found)
    (why,) = [one.statement for one in refused.blessing.checks if one.name == "compression"]
    failed = why.removeprefix(proving.REFUSED)
    text = f"It ships in place of {told(first.technique, first.parameters)}, which failed: {failed}"
    checks = [one for one in proof.blessing.checks if one.name != "compression"]
    own = [one.statement for one in proof.blessing.checks if one.name == "compression"]
    check = Check(name="compression", passed=True, statement=" ".join([*own, text]))
    return replace(proof, blessing=Blessing(blessed=True, checks=(*checks, check)))
