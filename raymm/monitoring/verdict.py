"""Whether a challenger is good enough, and whether a champion is worse than the one before it.

Where both answered the same rows, as in shadow, they are compared on those (see
`raymm.monitoring.paired`); else each on rows of its own, which takes many more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raymm.monitoring.answered import NOTHING, Answered, failing, slow
from raymm.sections import MonitoringConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a challenger must show before it takes over.

    Attributes
    ----------
    labels : int
        Labelled rows of the challenger in a stage: quality decides once there are four times as
        many, as many as the monitor's window, or half of what is kept; after the patience at this
        many.
    margin : float
        What the challenger may be worse by, in the metric's own unit; where less is better, in
        shares of the champion's value. It goes on where its gain is surely (one-sided, 5 %) above
        minus this.
    requests : int
        Requests of the challenger, in each stage, without which nothing is decided.
    patience : float
        Seconds of a stage after which errors and time decide where labels are too few,
        and a challenger that nothing was heard of is given up. Where labels are known to come
        late, they are waited for longer (see `deadline`).
    share : float
        Of the requests that a canary answers.
    slower : float
        Times as slow as the champion that it may be, at the 99th percentile of the answers since
        the stage began.
    rollback : bool
        Whether a new champion is compared with the one before it, and taken back where it is worse.
    kept : int
        Labelled rows of a version that the monitor keeps. Two versions seldom have all of them in
        common.
    """

    labels: int = 200
    margin: float = 0.01
    requests: int = 100
    patience: float = 86400.0
    share: float = 0.1
    slower: float = 2.0
    rollback: bool = True
    kept: int = 50_000

    @classmethod
    def of(cls, config: MonitoringConfig) -> Trial:
        """Return the trial that a configuration asks for."""
        asked = config.trial
        return cls(
            labels=asked.labels,
            margin=asked.margin,
            requests=asked.requests,
            patience=asked.patience or 0.0,
            share=asked.share,
            slower=asked.slower,
            rollback=asked.rollback == "auto",
            kept=config.labels,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is thought of a version, why, and whether labelled rows decided it.

    ``overdue`` says that it is waited longer than the patience, for labels that come late.
    """

    verdict: Literal["good", "worse", "unknown"]
    reason: str
    labelled: bool = False
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gain:
    """What a version gains over another by labels, in the metric's unit; above 0 it is better.

    ``seen`` are the labelled rows that count; ``scale`` the older one's value where less is better,
    else 1.
    """

    gain: float
    deviation: float
    seen: int
    scale: float
    told: str


Period = tuple[Answered, Answered]
"""Of the older version and the newer one."""
_EARLY = 3.5
"""Deviations beyond which labels let a challenger go on at any look, from a quarter of the rows
that decide: 0.24 % by chance. Source: Siegmund 1985, Sequential Analysis, chapter 4: a sum passes
z of its deviations within the share t to 1 of its rows by φ(z)((z - 1/z) ln(1/t) + 4/z) / 2."""
_SURE = 1.67
"""Deviations beyond which a challenger is surely not worse in the end: one-sided, 4.75 %, so that
with `_EARLY` it is 5 % in all."""
_SURELY = 1.96
"""Deviations beyond which a champion is surely worse than the one before it: one-sided, 2.5 %."""
_HOPELESS = 1.645
"""Deviations beyond which what is to come will hardly take a new champion back: one-sided, 5 %."""
_DELAYS = 3.0
"""Times the lateness of labels that a stage waits for them: once for the first rows', and as long
again and more for enough of them."""
LONGEST = 90 * 86400.0
"""Seconds that a stage waits for late labels at most."""
_HARM = 4.0
"""Deviations beyond which labels give either up at any look: 3 in 100,000 by chance."""


def judge(
    champion: Mapping[str, Any],
    challenger: Mapping[str, Any],
    trial: Trial,
    *,
    waited: float,
    before: tuple[int, int] = (0, 0),
    settled: bool = False,
    then: Period = (NOTHING, NOTHING),
    blessed: bool = True,
) -> Judgement:
    """Compare the monitors' reports of a champion and a challenger.

    Errors first; then quality by labels where both have enough; where they have not after the
    patience, or the `deadline` where labels are known to be late, errors and time alone. What a
    challenger answers is not judged without labels.

    Labels are looked at often and decide at a number of rows that is fixed beforehand, or before
    it where they leave hardly any doubt: who may stop at any look by what is sure at one finds a
    good one in nearly every challenger. One that is worse by the margin is called good in 5 % of
    trials at most, early or in the end.

    Parameters
    ----------
    champion, challenger : mapping
        Of the monitor's report, the parts under "versions".
    waited : float
        Seconds since the challenger's stage began.
    before : tuple of int, int
        The challenger's requests when its stage began and its labels when its trial did, as
        `heard` counts them.
    settled : bool
        Whether labels decided in an earlier stage: they are not asked again whether it is good
        enough, and speak only where it is surely worse.
    then : Period
        What champion and challenger had answered when the stage began: what came since is compared.
    blessed : bool
        Whether the challenger is; else labels of rows that both answered must show that it is no
        worse, here or in an earlier stage.
    """
    late = waited > trial.patience
    requests, labels = _since(challenger, before)
    theirs, ours = Answered.of(champion).since(then[0]), Answered.of(challenger).since(then[1])
    if told := failing(theirs, ours):
        return Judgement(verdict="worse", reason=told)
    if requests < trial.requests:
        told = f"it has answered {requests} of {trial.requests} requests"
        return Judgement(verdict="worse" if late else "unknown", reason=told)
    if told := slow(theirs, ours, trial.slower):
        return Judgement(verdict="worse", reason=told)
    first, full = _needed(challenger, trial)
    known = challenger.get("champion") or champion.get("quality", {}).get("recent", {})
    found = _together(challenger.get("paired"), labels, first)
    if found is None and blessed:
        found = _apart(known, challenger, labels, first)
    ready = found is not None and (found.seen >= full or late)
    if found and (decided := _by_labels(found, trial, ready, settled)):
        return decided
    delay = 0.0 if settled else _lateness(trial, champion, challenger)
    if waited <= deadline(trial, delay):
        return _waiting(trial, delay, waited)
    if not blessed and not settled:
        told = (
            "it is not blessed, and too few rows that both answered have labels to make up for it"
        )
        return Judgement(verdict="worse", reason=told + _though(trial, delay))
    told = "it fails no oftener and is no slower; without labels its answers were not judged"
    return Judgement(verdict="good", reason=told + _though(trial, delay))


def _by_labels(found: _Gain, trial: Trial, ready: bool, settled: bool) -> Judgement | None:
    """Return what labels say of a challenger, as in `judge`; None where they do not decide yet.

    ``ready`` says that there are as many as decide in the end.
    """
    margin = trial.margin * found.scale
    if found.gain < -_HARM * found.deviation - margin:
        return Judgement(verdict="worse", reason=found.told)
    reach = (_SURE if ready else _EARLY) * found.deviation
    told = f"{found.told}: a gain of {found.gain:.4g}, at least {found.gain - reach:.4g}"
    if found.gain - reach > -margin or (ready and settled and found.gain + reach >= -margin):
        return Judgement(verdict="good", reason=told, labelled=True)
    return Judgement(verdict="worse", reason=told, labelled=True) if ready else None


def judge_again(
    earlier: Mapping[str, Any],
    champion: Mapping[str, Any],
    trial: Trial,
    *,
    waited: float,
    before: tuple[int, int] = (0, 0),
    usual: Answered | None = None,
    then: Answered = NOTHING,
) -> Judgement:
    """Compare a new champion with the one before it: "worse" where it is to be taken back.

    It keeps its place unless it surely fails oftener, is slower, or answers worse by more than the
    margin on rows that both answered since. Rows of its own are of other times, and say nothing.
    It is looked at no longer once labels show that they will hardly ever take it back.
    Parameters are as in `judge`, ``before`` and ``then`` (its own alone) counted when it became
    champion, and ``usual`` is how the other answered until then; without it, what is known of it
    now. What one in shadow takes is computation alone, and what one that answers takes is all of a
    request: only figures of when both answered compare.
    """
    late = waited > trial.patience
    requests, labels = _since(champion, before)
    theirs, ours = usual or Answered.of(earlier), Answered.of(champion).since(then)
    if told := failing(theirs, ours):
        return Judgement(verdict="worse", reason=told)
    first, full = _needed(champion, trial)
    if requests >= trial.requests and (told := slow(theirs, ours, trial.slower)):
        return Judgement(verdict="worse", reason=told)
    found = _together(_turned(earlier.get("paired")), labels, first)
    if found is not None:
        most = found.gain + _SURELY * found.deviation
        margin = trial.margin * found.scale
        told = f"{found.told}: a gain of {found.gain:.4g}, at most {most:.4g}"
        decides = found.seen >= full or late
        if _hopeless(found, full, margin):
            return Judgement(verdict="good", reason=told)
        if found.gain < -_HARM * found.deviation - margin or (decides and most < -margin):
            return Judgement(verdict="worse", reason=told)
        if decides:
            return Judgement(verdict="good", reason=told)
    delay = _lateness(trial, earlier, champion)
    if waited <= deadline(trial, delay):
        return _waiting(trial, delay, waited)
    told = "it fails no oftener and is no slower; of rows that both answered too few have labels"
    return Judgement(verdict="good", reason=told + _though(trial, delay))


def _hopeless(found: _Gain, full: int, margin: float) -> bool:
    """Return whether so many rows, ``full``, will hardly call a version surely worse (5 %).

    Of n rows with a gain g of deviation d, all N have a gain that is normal about g with the
    deviation d √(1 - n / N), and are known to d √(n / N), if the rest are as these are.

    Source: the predictive power of a trial, Spiegelhalter, Freedman & Blackburn 1986.
    """
    known = min(found.seen / full, 1.0)
    bar = -margin - _SURELY * found.deviation * math.sqrt(known)
    return found.gain - _HOPELESS * found.deviation * math.sqrt(1 - known) > bar


def deadline(trial: Trial, delay: float) -> float:
    """Return the seconds of a stage for which labels are waited for, that come so late (seconds).

    That is the patience, or three times the lateness where this is more, 90 days at most.
    """
    return max(trial.patience, min(_DELAYS * delay, LONGEST))


def _lateness(trial: Trial, *versions: Mapping[str, Any]) -> float:
    """Return how late 95 % of labels come at most, in seconds; 0 where too few came to know."""
    known = [one.get("quality", {}) for one in versions]
    late = [
        one.get("delay", {}).get("p95") for one in known if one.get("joined", 0) >= trial.labels
    ]
    return max((float(one) for one in late if one is not None), default=0.0)


def _waiting(trial: Trial, delay: float, waited: float) -> Judgement:
    told = "labels of its answers are still too few"
    overdue = waited > trial.patience
    if overdue:
        told += (
            f": they come up to {_span(delay)} late, so it is waited for them until "
            f"{_span(deadline(trial, delay))} after the stage began, beyond "
            "monitoring.trial.patience"
        )
    return Judgement(verdict="unknown", reason=told, overdue=overdue)


def _though(trial: Trial, delay: float) -> str:
    if deadline(trial, delay) <= trial.patience:
        return ""
    return f", though they were waited for {_span(deadline(trial, delay))}"


def _span(seconds: float) -> str:
    """Return a time in the unit that suits it, to two digits.

    >>> _span(86400 * 3.21), _span(5400), _span(40)
    ('3.2 days', '1.5 hours', '40 s')
    """
    if seconds >= 86400:
        return f"{seconds / 86400:.2g} days"
    return f"{seconds / 3600:.2g} hours" if seconds >= 3600 else f"{seconds:.2g} s"


def heard(version: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many requests and labels of a version its monitor has counted in all."""
    return int(version.get("requests", 0)), int(version.get("quality", {}).get("joined", 0))


def _since(version: Mapping[str, Any], before: tuple[int, int]) -> tuple[int, int]:
    """Return the requests and labels that came since; of one that was forgotten, all."""
    requests, labels = (
        now - then if now >= then else now for now, then in zip(heard(version), before, strict=True)
    )
    return requests, labels


def _needed(version: Mapping[str, Any], trial: Trial) -> tuple[int, int]:
    """Return without how many labelled rows nothing is said, and how many decide."""
    window = int(version.get("window", {}).get("rows", 4 * trial.labels))
    window = min(window, trial.kept // 2)
    return min(trial.labels, window), min(4 * trial.labels, window)


def _turned(paired: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a comparison the other way round."""
    if not paired or paired.get("gain") is None:
        return None
    return {**paired, "gain": -paired["gain"], "old": paired["new"], "new": paired["old"]}


def _together(paired: Mapping[str, Any] | None, labels: int, first: int) -> _Gain | None:
    """Return what labels say of a version on rows that both answered.

    None where they, or the ``labels`` that came for it since, are fewer than ``first``.
    """
    if not paired or paired.get("gain") is None or min(paired["n"], labels) < first:
        return None
    old, new, rows = paired["old"], paired["new"], paired["n"]
    return _Gain(
        gain=paired["gain"],
        deviation=paired["deviation"],
        seen=min(rows, labels),
        scale=_scale(paired["direction"], old),
        told=f"{paired['metric']} is {new:.4g}, the other's {old:.4g} on the same {rows} "
        "labelled rows",
    )


def _apart(
    known: Mapping[str, Any], version: Mapping[str, Any], labels: int, first: int
) -> _Gain | None:
    """Return the same by rows of its own, where ``known`` is the other's quality on its own."""
    other = version.get("quality", {}).get("recent", {})
    ends = [side.get(key) for side in (known, other) for key in ("value", "low", "high")]
    seen = min(known.get("n", 0), other.get("n", 0), labels)
    if seen < first or any(value is None for value in ends):
        return None
    sign = 1.0 if other["direction"] == "maximize" else -1.0
    widths = [(side["high"] - side["low"]) / (2 * 1.96) for side in (known, other)]
    return _Gain(
        gain=sign * (other["value"] - known["value"]),
        deviation=math.hypot(*widths),
        seen=seen,
        scale=_scale(other["direction"], known["value"]),
        told=f"{other['metric']} is {other['value']:.4g} on {other['n']} labelled rows, the "
        f"other's {known['value']:.4g} on {known['n']}",
    )


def _scale(direction: str, value: float) -> float:
    return 1.0 if direction == "maximize" else abs(value)
