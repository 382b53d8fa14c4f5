"""The policy: what is made of a search's trials before one is shipped, weighed on validation rows.

The best trials may be mixed, the probabilities mended, and the decision between classes moved.
Each is kept where it pays on validation rows that did not choose it, and the report says what was
found. Test rows play no part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import labels
from raymm.artifacts import (
    Dataset,
    Doubts,
    Finding,
    Indices,
    Member,
    MetricLike,
    Progress,
    Recipe,
    Score,
    Trial,
    Trials,
)
from raymm.artifacts.recipe import SAME
from raymm.bootstrap import interval, replicates
from raymm.bundle import build as building
from raymm.bundle.blend import calibrated, mixed
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import check
from raymm.bundle.run import Runner
from raymm.errors import ParityError, SearchError
from raymm.evaluation import calibration, decision, mixing
from raymm.evaluation.metrics import metric_for
from raymm.features.dealing import together
from raymm.oof import Folds
from raymm.stages import Life, kept, lineage_of, threads

CANDIDATES = 12
"""Trials weighed at most."""
MEMBERS = 5
"""Trials mixed at most where the configuration leaves it open: more bring ever less, and each is
trained, shipped and run."""
LANES = 4
"""Threads that one fit on one fold makes use of, as is reckoned with."""
LEAST_MIXING = 30.0
"""Seconds that choosing a mix may take however short the search was; most take a few."""
PARTS = 5
RESAMPLES = 500
LEVEL = 0.8
"""Of a gain's interval: its lower end is a one-sided bound at 90 %."""
_TIMED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Validation rows and what is predicted of them; gains are measured on the same resamples.

    ``rows`` are their numbers in the dataset, in the order of ``truth``.
    """

    truth: npt.NDArray[Any]
    seed: int
    dataset: Dataset
    rows: Indices

    def part(self, count: int) -> npt.NDArray[np.int64]:
        """Deal them into parts, whole groups where that leaves every class in every part."""
        generator = np.random.default_rng([self.seed, 3, count])
        dealt = together(self.dataset, self.rows, count, generator, timed=False)
        if dealt is not None and len(np.unique(dealt)) == count:
            several = len(np.unique(self.truth)) if self.dataset.schema.classes else 1
            held = (len(np.unique(self.truth[dealt == number])) for number in range(count))
            if all(one >= several for one in held):
                return dealt
        generator = np.random.default_rng([self.seed, 3, count])
        return mixing.parts(len(self.truth), count, generator)

    def gain(
        self,
        metric: MetricLike,
        new: npt.NDArray[Any],
        old: npt.NDArray[Any],
        part: npt.NDArray[np.int64],
    ) -> Score:
        """Return what ``new`` is better by, with its interval at `LEVEL`: the mean over the parts.

        Each part of ``new`` comes of another choice, and ranks of rows mean nothing between parts.
        """
        sign = 1.0 if metric.direction == "maximize" else -1.0
        generator = np.random.default_rng([self.seed, 4])
        value, drawn = 0.0, np.zeros(RESAMPLES)
        for number in np.unique(part):
            here = part == number
            truth, sides = self.truth[here], [new[here], old[here]]
            made = replicates(metric, truth, sides, count=RESAMPLES, generator=generator)
            drawn += here.mean() * sign * (made[:, 0] - made[:, 1])
            value += here.mean() * sign * (metric(truth, sides[0]) - metric(truth, sides[1]))
        low, high = interval(drawn, LEVEL)
        return Score(metric=metric.name, value=float(value), low=low, high=high, level=LEVEL)


def compose(life: Life, trials: Trials) -> Recipe:
    """Decide what of the trials is shipped, and say why.

    Raises
    ------
    ConfigError, DataError
        When the best trial cannot be trained again.
    SearchError
        When it predicts what is not finite then.
    """
    goal, search = life.config.goal, life.config.search
    deciding = {
        "ledger": life.ledger.digest(),
        "metric": life.metric.name,
        "search": {"ensemble": search.ensemble, "ensemble_share": search.ensemble_share},
        "goal": goal.model_dump(mode="json", include={"calibration", "decision", "limits"}),
        "parallel": search.parallel == 1,
    }
    recipe = kept(life, "policy", deciding, Recipe, lambda: _composed(life, trials))
    for finding in recipe.findings:
        life.notify(Progress(stage="policy", message=finding.statement))
    return replace(recipe, findings=(*life.weighed, *recipe.findings))


def _composed(life: Life, trials: Trials) -> Recipe:
    best = trials.leaderboard[0]
    chosen = candidates(life, trials)
    mends = life.config.goal.calibration == "auto" and bool(life.dataset.schema.classes)
    moves = life.config.goal.decision == "auto" and life.metric.decidable
    if len(chosen) == 1 and not mends and not moves:
        return replace(Recipe.of(best), doubts=_doubts(life))
    folds = Folds(life.dataset, seed=life.config.seed, threads=threads(life.config))
    rows = _Rows(truth=folds.truth, seed=life.config.seed, dataset=life.dataset, rows=folds.rows)
    recipe, predictions = _mix(life, folds, rows, chosen, trials.seconds)
    if mends:
        recipe, predictions = _mend(life, folds, rows, recipe, predictions)
    if moves:
        recipe = _move(life, rows, recipe, predictions)
    life.probes.update({one.trial.id: folds.first[one.trial.id] for one in recipe.members})
    return replace(recipe, doubts=_doubts(life, (folds.rows, predictions)))


def _doubts(life: Life, known: tuple[Indices, npt.NDArray[Any]] | None = None) -> Doubts | None:
    life.notify(Progress(stage="policy", message="looking for doubtful labels"))
    dataset = life.dataset
    found = labels.of_rows(dataset, dataset.train, seed=life.config.seed, known=known)
    if found is not None:
        told = f"{found.found:,} of {found.looked:,} labels are surely implausible"
        life.notify(Progress(stage="policy", message=told))
    return found


# ------------------------------------------------------------------------------------ candidates


def candidates(life: Life, trials: Trials) -> tuple[Trial, ...]:
    """Return the trials that are worth weighing, the best one first.

    After it the best of each other family, which errs elsewhere, then the leaderboard; no two of
    one configuration. As many as the share of the search's time allows that may be spent, as the
    trials' own times foretell it where folds are trained at once, one thread each; with one worker,
    whose results are to be the same each time, a quarter of the trials.
    """
    search = life.config.search
    board = trials.leaderboard
    if search.ensemble in {"off", 1} or len(board) == 1:
        return board[:1]
    families: dict[str, Trial] = {}
    for trial in board:
        families.setdefault(trial.family, trial)
    firsts = sorted(families.values(), key=board.index)
    configs = {repr(sorted(one.config.items())): one for one in reversed((*firsts, *board))}
    unlike = [one for one in (*firsts, *board) if configs[repr(sorted(one.config.items()))] is one]
    ordered = list({one.id: one for one in unlike}.values())
    if search.parallel == 1:
        return tuple(ordered[: int(np.clip(len(board) // 4, 2, CANDIDATES))])
    folds = len(life.dataset.folds)
    lanes = min(threads(life.config), folds if folds > 1 else LANES)
    left = search.ensemble_share * trials.seconds * lanes - cost(board[0])
    found = [board[0]]
    for trial in ordered[1:]:
        if len(found) < CANDIDATES and cost(trial) <= left:
            found.append(trial)
            left -= cost(trial)
    return tuple(found)


def cost(trial: Trial) -> float:
    """Return the seconds that training a trial anew to its best round will take one thread."""
    last = max((rounds for rounds, _ in trial.rungs), default=trial.rounds)
    return trial.seconds * trial.rounds / max(last, trial.rounds, 1)


# ------------------------------------------------------------------------------------ the policies


def _mix(
    life: Life, folds: Folds, rows: _Rows, chosen: Sequence[Trial], seconds: float
) -> tuple[Recipe, npt.NDArray[Any]]:
    """Mix the candidates where that is better than the best alone, by more than chance."""
    made = {}
    for place, trial in enumerate(chosen, start=1):
        told = f"weighing trial {trial.number}, {trial.family} ({place} of {len(chosen)})"
        life.notify(Progress(stage="policy", message=told))
        try:
            made[trial.id] = _finite(folds.predict(trial))
        except Exception as error:  # of any library; a mix without this trial is as good
            if trial is chosen[0]:
                raise
            life.notify(Progress(stage="policy", message=f"trial {trial.number}: {error}"))
    known = [trial for trial in chosen if trial.id in made]
    predictions = [made[trial.id] for trial in known]
    alone = Recipe.of(chosen[0])
    if len(known) == 1:
        return alone, predictions[0]
    asked = life.config.search.ensemble
    largest = most = MEMBERS if asked == "auto" else int(asked)
    metric = decision.judge(life.metric, moves=life.config.goal.decision == "auto")
    life.notify(Progress(stage="policy", message=f"mixing {len(known)} candidates"))
    gain = _mixed_gain(life, rows, metric, predictions, most, _clock(life, seconds))
    told = f"{_signed(gain)} on {len(rows.truth):,} validation rows"
    statement = f"A mix of the {len(known)} candidates does not pay: {told}."
    left = _clock(life, seconds)
    while most > 1 and gain.low > 0:
        weights = mixing.greedy(metric, rows.truth, predictions, most=most, left=left)
        recipe = _recipe(known, weights)
        if len(recipe.members) == 1:
            if most == largest:
                statement = f"Of all validation rows, one trial alone is best; of parts, {told}."
            break
        size, within = _size(life, folds, recipe, alone)
        if within:
            statement = f"A mix of {len(recipe.members)} trials is kept: {told}; {size}."
            finding = Finding(policy="ensemble", kept=True, statement=statement, gain=gain)
            return replace(recipe, findings=(finding,)), mixing.mean(predictions, weights)
        statement = f"A mix of trials would pay ({told}), but goes beyond goal.limits: {size}."
        most = len(recipe.members) - 1
    finding = Finding(policy="ensemble", kept=False, statement=statement, gain=gain)
    return replace(alone, findings=(finding,)), predictions[0]


def _clock(life: Life, seconds: float) -> mixing.Left | None:
    """Return what counts down the time that choosing a mix may take, of a search of ``seconds``.

    None with one worker, where no clock is to decide.
    """
    search, started = life.config.search, time.monotonic()
    if search.parallel == 1:
        return None
    allowed = max(LEAST_MIXING, search.ensemble_share * seconds)
    return lambda: allowed - (time.monotonic() - started)


def _finite(predictions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not np.isfinite(predictions).all():
        raise SearchError(
            "a trial predicts what is not finite when it is trained again. Leave its family out "
            "(search.families)."
        )
    return predictions


def _mixed_gain(
    life: Life,
    rows: _Rows,
    metric: MetricLike,
    predictions: Sequence[npt.NDArray[Any]],
    most: int,
    left: mixing.Left | None,
) -> Score:
    """Return what a mix is better by than the best alone, on rows that did not choose it."""
    part = rows.part(PARTS)
    crossed = mixing.crossed(metric, rows.truth, predictions, most=most, part=part, left=left)
    sides: list[npt.NDArray[Any]] = [crossed, predictions[0]]
    if isinstance(metric, decision.Decided):
        sides = [decision.crossed(life.metric, rows.truth, one, part) for one in sides]
    return rows.gain(life.metric, sides[0], sides[1], part)


def _recipe(trials: Sequence[Trial], weights: npt.NDArray[np.float64]) -> Recipe:
    order = np.argsort(-weights, kind="stable")
    members = [
        Member(trial=trials[k], weight=float(weights[k])) for k in order.tolist() if weights[k] > 0
    ]
    return Recipe(members=tuple(members))


def _size(life: Life, folds: Folds, recipe: Recipe, alone: Recipe) -> tuple[str, bool]:
    """Say what a mix costs beside its best member, and whether the goal's limits are kept."""
    found = []
    for one in (recipe, alone):
        bundle = _bundle(life, folds, one)
        found.append((len(bundle.to_bytes(proven=False)), *_milliseconds(life, bundle)))
    (size, middle, slow), (size_alone, middle_alone, _) = found
    limits = life.config.goal.limits
    within = (limits.bundle_mb is None or size <= limits.bundle_mb * 1e6) and (
        limits.latency_p99_ms is None or slow <= limits.latency_p99_ms
    )
    said = (
        f"{size / 1e6:.3g} MB and {middle:.3g} ms a row before compression, "
        f"{size_alone / 1e6:.3g} MB and {middle_alone:.3g} ms for the best alone"
    )
    return said, within


def _bundle(life: Life, folds: Folds, recipe: Recipe) -> Bundle:
    """Return the bundle of what was trained on the first fold."""
    blend = mixed([folds.first[one.trial.id] for one in recipe.members], recipe)
    lineage = lineage_of(life, recipe)
    return building.write(blend, recipe, statistics=life.statistics, lineage=lineage)


def _milliseconds(life: Life, bundle: Bundle) -> tuple[float, float]:
    """Return the median and the 99th percentile of the time of one row, one thread."""
    runner, rows = Runner(bundle), life.dataset.folds[0].valid
    tensors = life.dataset.rows(rows[: _TIMED + 20])
    times = []
    for turn in range(_TIMED + 20):
        place = turn % min(len(rows), _TIMED + 20)
        one = {name: values[place : place + 1] for name, values in tensors.items()}
        began = time.perf_counter()
        runner.predict(one)
        times.append((time.perf_counter() - began) * 1e3)
    return float(np.median(times[20:])), float(np.quantile(times[20:], 0.99))


def _mend(
    life: Life, folds: Folds, rows: _Rows, recipe: Recipe, predictions: npt.NDArray[Any]
) -> tuple[Recipe, npt.NDArray[Any]]:
    """Calibrate where that lowers the log loss by more than chance and costs the goal nothing."""
    loss = metric_for("log_loss", life.dataset.schema.task)
    part = rows.part(PARTS)
    crossed = calibration.crossed(rows.truth, predictions, part)
    gain = rows.gain(loss, crossed, predictions, part)
    error = calibration.CalibrationError()
    before, after = (error(rows.truth, one) for one in (predictions, crossed))
    told = f"{_signed(gain)}, calibration error {before:.3g} to {after:.3g}"
    found = calibration.fit(rows.truth, predictions)
    mended = replace(recipe, calibration=found)
    pays = gain.low > 0 and found != SAME
    pays = pays and not rows.gain(life.metric, crossed, predictions, part).high < 0
    if pays:
        pays = _same(life, folds, mended)
    verb = "are mended" if pays else "stay as they are"
    finding = Finding(
        policy="calibration", kept=pays, statement=f"Probabilities {verb}: {told}.", gain=gain
    )
    if pays:
        recipe, predictions = mended, calibrated(np.asarray(predictions, np.float64), found)
    return replace(recipe, findings=(*recipe.findings, finding)), predictions


def _same(life: Life, folds: Folds, recipe: Recipe) -> bool:
    """Whether the graph still agrees with the pipeline: a steep slope magnifies differences."""
    blend = mixed([folds.first[one.trial.id] for one in recipe.members], recipe)
    runner = Runner(_bundle(life, folds, recipe))
    try:
        check(blend, runner, life.dataset.rows(life.dataset.folds[0].valid[:5000]))
    except ParityError:
        return False
    return True


def _move(life: Life, rows: _Rows, recipe: Recipe, predictions: npt.NDArray[Any]) -> Recipe:
    """Weigh the labels where the metric gains by more than chance."""
    part = rows.part(PARTS)
    crossed = decision.crossed(life.metric, rows.truth, predictions, part)
    gain = rows.gain(life.metric, crossed, predictions, part)
    weights = decision.choose(life.metric, rows.truth, predictions)
    pays = gain.low > 0 and bool(np.ptp(weights) > 0)
    classes = life.dataset.schema.classes
    if not pays:
        said = "The likeliest class is answered"
    elif len(classes) == 2:
        said = f"{classes[1]} is answered from a probability of {weights[0]:.3g} on"
    else:
        said = "Classes are weighed before one is answered"
    statement = f"{said}: {_signed(gain)} by moving the decision."
    finding = Finding(policy="decision", kept=pays, statement=statement, gain=gain)
    chosen = tuple(map(float, weights)) if pays else ()
    return replace(recipe, decision=chosen, findings=(*recipe.findings, finding))


def _signed(gain: Score) -> str:
    """Write a gain with its lower bound, positive is better."""
    if not math.isfinite(gain.value) or not math.isfinite(gain.low):
        return f"{gain.metric} cannot be compared, as resamples of so few rows lack a class"
    if gain.value < 0:
        return f"{gain.metric} worse by {-gain.value:.3g}"
    return f"{gain.metric} better by {gain.value:.3g} (at least {gain.low:.3g})"
