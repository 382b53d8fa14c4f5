"""The proof: what the test rows say of the bundles, and whether one of them is blessed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from raymm import champions
from raymm.artifacts import Blessing, Check, Evaluation, Version
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.spread import by_rows
from raymm.evaluation import blessing as blessings
from raymm.evaluation import compressed
from raymm.evaluation import evaluate as evaluations
from raymm.evaluation import slices as slicing
from raymm.evaluation.metrics import baseline_prediction
from raymm.features.groups import Group
from raymm.stages import Built, Life, kept, load, runner

REFUSED = "The bundle ships as it was before compression: the compressed one failed. "
"""How the check "compression" begins where the compressed bundle is refused."""

REBUILD = "rebuild"
"""The stage that makes another form of what was built, where the first is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the test rows say: the file that is shipped, its evaluation and its blessing.

    ``proven`` is the file that was judged where another one ships, which was trained on the test
    rows too (see `raymm.refitting`); empty where what was judged ships.
    """

    bundle: str
    evaluation: Evaluation
    blessing: Blessing
    proven: str = ""

    @property
    def judged(self) -> str:
        """The file that evaluation and blessing are of."""
        return self.proven or self.bundle


def prove(life: Life, built: Built) -> Proof:
    """Evaluate and bless the compressed bundle; ship the full one where only that is blessed.

    The compressed bundle is also held against the full one, see `raymm.evaluation.compressed`.
    Where the full one ships, a check of its blessing, "compression", says why. Every bundle
    concerned predicts the test rows in this one stage, which `raymm.milder` asks for twice at most.
    """
    champion = _reigning(life, built)
    deciding = {
        "bundles": [built.bundle, built.full],
        "champion": champion.bundle if champion else "",
        "goal": life.config.goal.model_dump(mode="json", exclude={"refit"}),
        # Named where it is another, so that what was proven by the usual one is found again.
        **life.config.compression.model_dump(
            mode="json", include={"max_loss"}, exclude_defaults=True
        ),
    }

    def make() -> Proof:
        dataset = life.dataset
        slices = slicing.slices(dataset.frame, dataset.schema, dataset.test)
        first = _prove_one(life, built.bundle, champion, slices)
        if built.bundle == built.full:
            return first
        if first.blessing.blessed:
            first = _held(life, built, first, slices)
        if first.blessing.blessed:
            return first
        second = _prove_one(life, built.full, champion, slices)
        return _instead(first, second) if second.blessing.blessed else first

    return kept(life, "evaluate", deciding, Proof, make)


def tested(life: Life, sha256: str) -> npt.NDArray[np.float32]:
    """Return what a bundle of this run predicts of the test rows, which it is asked once."""
    if sha256 not in life.tested:
        rows = life.dataset.rows(life.dataset.test)
        life.tested[sha256] = by_rows(runner(life, sha256).predict, rows)
    life.tested[sha256].setflags(write=False)  # several look at it
    return life.tested[sha256]


def _held(life: Life, built: Built, proof: Proof, slices: Sequence[Group]) -> Proof:
    """Hold the compressed bundle against the full one, unless that is beyond the goal's limits."""
    rows = life.dataset.test
    beyond = [one for one in limits(life, built.full) if not one.passed]
    if beyond:
        # The form within them that loses least was chosen, whatever it loses.
        text = "Before compression the bundle is beyond the goal's limits, so nothing is compared."
        check = Check(name="compression", passed=True, statement=text)
    else:
        pair = compressed.Pair(
            truth=life.dataset.y[rows],
            made=tested(life, built.bundle),
            full=tested(life, built.full),
            decision=load(life, built.bundle).schema.decision,
            seed=life.config.seed,
        )
        check = compressed.compressed(
            pair,
            task=life.dataset.schema.task,
            metric=life.metric,
            max_loss=life.config.compression.max_loss,
            slices=slices,
        )
    checks = (*proof.blessing.checks, check)
    return replace(proof, blessing=Blessing(blessed=check.passed, checks=checks))


def _instead(first: Proof, second: Proof) -> Proof:
    """Return the full bundle's proof, saying why it takes the compressed one's place."""
    failed = " ".join(one.statement for one in first.blessing.checks if not one.passed)
    text = f"{REFUSED}{failed}"
    check = Check(name="compression", passed=True, statement=text)
    checks = (*second.blessing.checks, check)
    return replace(second, blessing=replace(second.blessing, checks=checks))


def _reigning(life: Life, built: Built) -> Version | None:
    """Return the champion; where that is this very model, the one that it took the place of.

    What was rolled back is neither. This very model is also one that an earlier session made, and
    one where what was built here was proven and then trained on all rows. What it replaced is what
    was the champion when it first became it, so that a run that is done again is judged alike.
    """
    name = life.config.name
    others = [one["record"] for one in life.ledger.records("stage") if one["name"] == REBUILD]
    own = {built.full, built.bundle}
    own |= {one["bundle"] for one in others if one["full"] == built.full}
    now = life.registry.releases(name).current()
    pile = [*reversed(now.earlier), now.champion] if now.champion else []
    while pile:
        version = life.registry.version(name, pile[-1])
        if version.run != life.run or champions.proven_of(version) not in own:
            return version
        pile = pile[: pile.index(version.number)]
    return None


def _prove_one(life: Life, sha256: str, champion: Version | None, slices: Sequence[Group]) -> Proof:
    evaluation, reason = _evaluation(life, sha256, champion, slices)
    size, slow = _sizes(life, sha256)
    blessing = blessings.bless(
        evaluation, life.config.goal, bundle_bytes=size, row_microseconds=slow
    )
    if reason:
        check = Check(name="champion", passed=False, statement=reason)
        blessing = Blessing(blessed=False, checks=(*blessing.checks, check))
    note = _one_answer(life, sha256)
    if note is not None:
        blessing = replace(blessing, checks=(*blessing.checks, note))
    return Proof(bundle=sha256, evaluation=evaluation, blessing=blessing)


def _one_answer(life: Life, sha256: str) -> Check | None:
    dataset = life.dataset
    if dataset.schema.task == "regression":
        return None
    return blessings.one_answer(
        tested(life, sha256),
        dataset.y[dataset.test],
        decision=load(life, sha256).schema.decision,
        classes=dataset.schema.classes,
    )


def limits(life: Life, sha256: str) -> list[Check]:
    """Check a bundle's bytes and its slow rows, where the goal limits them."""
    return blessings.limit_checks(life.config.goal, *_sizes(life, sha256))


def _sizes(life: Life, sha256: str) -> tuple[int, float | None]:
    """Return a bundle's bytes, and a slow row's microseconds where the goal limits them."""
    limited = life.config.goal.limits.latency_p99_ms is not None
    slow = _slow_row(life, load(life, sha256)) if limited else None
    return len(life.registry.store.get_blob(sha256)), slow


def _slow_row(life: Life, bundle: Bundle) -> float:
    """Return the 99th percentile of 1,000 single rows through the graph, in microseconds."""
    alone = Runner(bundle)
    tensors = life.dataset.rows(life.dataset.test)
    times = []
    for turn in range(1100):
        row = turn % len(life.dataset.test)
        one = {name: values[row : row + 1] for name, values in tensors.items()}
        began = time.perf_counter()
        alone.predict(one)
        times.append(time.perf_counter() - began)
    return float(np.quantile(times[100:], 0.99) * 1e6)


def _evaluation(
    life: Life, sha256: str, champion: Version | None, slices: Sequence[Group]
) -> tuple[Evaluation, str]:
    """Return the evaluation on the test rows, and why there is no comparison where one is due."""
    dataset = life.dataset
    rows, truth = dataset.test, dataset.y[dataset.test]
    classes = len(dataset.schema.classes)
    judge = partial(
        evaluations.evaluate,
        task=dataset.schema.task,
        metric=life.metric,
        seed=life.config.seed,
        confidence=life.config.goal.confidence,
    )
    trained = dataset.y[dataset.train]
    baseline = baseline_prediction(trained, classes, len(rows), metric=life.metric)
    bundle = load(life, sha256)
    predictions = tested(life, sha256)
    judge = partial(judge, decisions=(bundle.schema.decision, ()))
    if champion is None:
        return judge(truth, predictions, baseline=baseline, slices=slices), ""
    rival = champions.rival(life.registry, champion, dataset)
    judge = partial(judge, decisions=(bundle.schema.decision, rival.decision))
    if rival.reason:
        return judge(truth, predictions, baseline=baseline, slices=slices), rival.reason
    new = rival.unseen
    known = (rival.name, rival.predictions)
    if new.all():
        return judge(truth, predictions, baseline=baseline, champion=known, slices=slices), ""
    whole = judge(truth, predictions, baseline=baseline, slices=slices)
    part = judge(
        truth[new],
        predictions[new],
        baseline=baseline[new],
        champion=(rival.name, rival.predictions[new]),
        slices=[one._replace(mask=one.mask[new]) for one in slices if one.mask[new].sum() >= 30],
    )
    gains = {(one.column, one.value): one.champion_gain for one in part.slices}
    judged = tuple(
        replace(one, champion_gain=gains.get((one.column, one.value))) for one in whole.slices
    )
    told = f"{rival.name} on {new.sum():,} rows it was not trained on"
    return (
        replace(whole, champion=told, champion_gain=part.champion_gain, slices=judged),
        "",
    )
