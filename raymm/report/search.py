"""Figures of a search: its history, its parameters, its learning curves, its front.

However many trials there are, a bounded number is drawn: those that matter (the best, each that
was the best so far, what is on the front) and an even sample of the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from raymm.artifacts import Categorical, Importance, Int, Parameter, Space, Trial, Trials
from raymm.counts import counted
from raymm.report import figures
from raymm.report.figures import Axes, Bar, Layer
from raymm.report.parallel import parallel

DOTS, SLICE_DOTS, CURVES, SLICES, BARS = 1200, 250, 80, 12, 15
LEADERS = 10
FEWEST = 5
"""Trials that a parameter needs before a figure of it says anything."""
_WIDE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure as SVG, with what is written below it."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the figures tell of.

    Attributes
    ----------
    space : Space
        What was searched, as far as it is known; empty leaves the figures of parameters out.
    parameters : sequence of Importance
        How much each parameter matters, the greatest first.
    front : collection of int
        Numbers of the trials that no other beats in every objective.
    """

    trials: Trials
    space: Space = field(default_factory=dict)
    parameters: Sequence[Importance] = ()
    front: Collection[int] = ()


def draw(searched: Searched) -> Mapping[str, Sequence[Drawing]]:
    """Return the figures by kind: history, front, parameters, parallel, slices, curves."""
    board = searched.trials.leaderboard
    found = {
        "history": [_history(searched.trials)],
        "front": _fronts(searched),
        "parameters": [_parameters(searched)],
        "parallel": [_parallel(searched, board)],
        "slices": [_slice(searched, board, name) for name in _sliced(searched, board)],
        "curves": [_curves(searched.trials, board)],
    }
    return {kind: [one for one in drawn if one.svg] for kind, drawn in found.items()}


# -------------------------------------------------------------------------------- what is drawn


def sample(trials: Sequence[Trial], most: int, keep: Collection[int] = ()) -> list[Trial]:
    """Return those whose number is in ``keep`` and an even sample of the rest, in order."""
    wanted = [trial for trial in trials if trial.number in keep]
    rest = [trial for trial in trials if trial.number not in keep]
    places = np.linspace(0, len(rest) - 1, max(0, min(len(rest), most - len(wanted))))
    picked = [rest[int(place)] for place in places]
    return sorted(wanted + picked, key=lambda trial: trial.number)


def limit(values: Sequence[float], direction: str) -> float:
    """Return the worst value worth room on an axis: three quartile ranges past the quartile.

    What is worse is drawn at the edge, so that a trial that diverged does not flatten the others.
    """
    sign = 1.0 if direction == "minimize" else -1.0
    losses = sign * np.asarray(values, dtype=np.float64)
    low, high = np.quantile(losses, (0.25, 0.75))
    return float(sign * min(losses.max(), high + 3 * (high - low) if high > low else losses.max()))


def _held(trials: Trials, values: Sequence[float]) -> list[float]:
    known = [t.value for t in trials.trials if t.value is not None]
    if not known:
        return []
    worst = limit(known, trials.direction)
    return [min(v, worst) if trials.direction == "minimize" else max(v, worst) for v in values]


def _log(trials: Trials) -> bool:
    """Whether losses span so much that only their powers of ten can be told apart."""
    known = [t.value for t in trials.trials if t.value is not None]
    low = min(known, default=0.0)
    return low > 0 and trials.direction == "minimize" and limit(known, "minimize") / low > _WIDE


def _told(shown: int, of: int) -> str:
    return f" {shown:,} of {of:,} are drawn." if shown < of else ""


# ------------------------------------------------------------------------------------------ figures


def _history(trials: Trials) -> Drawing:
    done = sorted((t for t in trials.trials if t.value is not None), key=lambda t: t.number)
    better = np.fmax if trials.direction == "maximize" else np.fmin
    values = [t.value for t in done if t.value is not None]
    best = [float(v) for v in better.accumulate(values)] if values else []
    rises = [i for i, value in enumerate(best) if i in (0, len(best) - 1) or value != best[i - 1]]
    drawn = sample(done, DOTS, {done[i].number for i in rises[-DOTS // 4 :]})
    failed = sample([t for t in trials.trials if t.value is None], DOTS // 6)
    held = _held(trials, [t.value for t in drawn if t.value is not None])
    foot = (max if trials.direction == "minimize" else min)(held, default=0.0)
    layers = [
        Layer(name="trials", x=[float(t.number) for t in drawn], y=held, style="dots"),
        Layer(
            name="best so far",
            x=[float(done[i].number) for i in rises],
            y=_held(trials, [best[i] for i in rises]),
            style="step",
            marked=True,
        ),
        Layer(
            name="failed trials",
            x=[float(t.number) for t in failed],
            y=[foot] * len(failed),
            style="crosses",
        ),
    ]
    count = sum(t.value is None for t in trials.trials)
    axes = Axes(
        title="Optimisation history",
        x="trial number",
        y=trials.metric,
        log_y=_log(trials),
        whole_x=True,
    )
    caption = f"Each trial's {trials.metric}; the line is the best so far."
    caption += f" Crosses: {counted(count, 'trial')} that failed." if count else ""
    return Drawing(
        svg=figures.plot(layers, axes) if drawn else "",
        caption=caption + _told(len(drawn), len(done)),
    )


def _parameters(searched: Searched) -> Drawing:
    kept = searched.parameters[:BARS]
    rows = [Bar(label=i.column, value=i.value, low=i.low, high=i.high) for i in kept]
    unit = f"share of the variance of {searched.trials.metric}"
    return Drawing(
        svg=figures.bars(rows, title="Importance of parameters", unit=unit),
        caption="How much of the metric's variance over the space each parameter explains by "
        "itself, where it is active, by a random forest fitted to the trials (Hutter et al. "
        "2014). The lines span the parts of the forest.",
    )


def _names(searched: Searched) -> list[str]:
    """Return the parameters that vary, the most important first."""
    ranked = [one.column for one in searched.parameters]
    every = dict.fromkeys([*ranked, *searched.space])
    fixed = {name for name, p in searched.space.items() if _fixed(p)}
    return [name for name in every if name in searched.space and name not in fixed]


def _sliced(searched: Searched, board: Sequence[Trial]) -> list[str]:
    """Return the parameters worth a slice: enough trials have them, and they were varied."""
    found = []
    for name in _names(searched):
        tried = [repr(trial.config[name]) for trial in board if name in trial.config]
        if len(tried) >= min(FEWEST, len(board)) and len(set(tried)) > 1:
            found.append(name)
    return found[:SLICES]


def _fixed(parameter: Parameter) -> bool:
    if isinstance(parameter, Categorical):
        return len(parameter.choices) < 2
    return parameter.low == parameter.high


def _leaders(board: Sequence[Trial]) -> set[int]:
    return {t.number for t in board[: max(1, min(LEADERS, len(board) // 5))]}


def _slice(searched: Searched, board: Sequence[Trial], name: str) -> Drawing:
    trials, parameter = searched.trials, searched.space[name]
    leaders = _leaders(board)
    with_it = [t for t in board if name in t.config]
    drawn = sample(with_it, SLICE_DOTS, leaders)
    choices = parameter.choices if isinstance(parameter, Categorical) else ()
    at = {repr(choice): float(place) for place, choice in enumerate(choices)}
    layers = []
    for chosen in (False, True):
        kept = [t for t in drawn if (t.number in leaders) is chosen]
        x = [_across(t, name, at) for t in kept]
        y = _held(trials, [t.value for t in kept if t.value is not None])
        label = "best trials" if chosen else "trials"
        layers.append(Layer(name=label, x=x, y=y, style="dots", marked=chosen, faint=not chosen))
    every = _held(trials, [t.value for t in board if t.value is not None])
    axes = Axes(
        title=f"{trials.metric} against {name}",
        x=name,
        y=trials.metric,
        log_x=not isinstance(parameter, Categorical) and parameter.log,
        log_y=_log(trials),
        places=[str(choice) for choice in choices],
        whole_x=isinstance(parameter, Int),
        y_ends=(min(every), max(every)) if every else (),
    )
    return Drawing(svg=figures.plot(layers, axes), caption="")


def _across(trial: Trial, name: str, places: Mapping[str, float]) -> float:
    value = trial.config[name]
    if not places:
        return float(value) if isinstance(value, int | float) else math.nan
    # Equal choices are spread a little, by the golden ratio, so that dots do not hide each other.
    return places.get(repr(value), math.nan) + ((trial.number * 0.618034) % 1 - 0.5) * 0.5


def _parallel(searched: Searched, board: Sequence[Trial]) -> Drawing:
    trials = searched.trials
    family = _family(board)
    alike = [t for t in board if t.family == family]
    if len(alike) < 2:
        return Drawing(svg="", caption="")
    names = [n for n in _names(searched) if n != "family" and any(n in t.config for t in alike)]
    leaders = _leaders(alike)
    drawn = sample(alike, SLICE_DOTS, leaders)
    held = _held(trials, [t.value for t in drawn if t.value is not None])
    own = f"{family}."
    lines = [
        (
            {**{n.removeprefix(own): v for n, v in t.config.items()}, trials.metric: value},
            t.number in leaders,
        )
        for t, value in zip(drawn, held, strict=True)
    ]
    svg = parallel(
        lines,
        {name.removeprefix(own): searched.space[name] for name in names},
        metric=trials.metric,
        direction=trials.direction,
    )
    told = f" of family {family}" if family else ""
    return Drawing(
        svg=svg,
        caption=f"One line a trial{told}; the best {len(leaders)} stand out. A line below an axis: "
        f"the parameter was not active.{_told(len(drawn), len(alike))}",
    )


def _family(board: Sequence[Trial]) -> str:
    """Return the best family that enough trials had, else the one that most had."""
    counts = Counter(trial.family for trial in board)
    enough = [trial.family for trial in board if counts[trial.family] >= FEWEST]
    return enough[0] if enough else max(counts, key=lambda name: counts[name], default="")


def _curves(trials: Trials, board: Sequence[Trial]) -> Drawing:
    told = [t for t in trials.trials if len(t.rungs) > 1]
    if not told:
        return Drawing(svg="", caption="")
    ranked = [t for t in board if len(t.rungs) > 1]
    leaders = _leaders(ranked)
    drawn = sample(told, CURVES, leaders)
    first = {t.number for t in ranked[:1]}
    worst = [value for t in drawn for _, value in t.rungs]
    rim = limit(worst, trials.direction)
    hold = min if trials.direction == "minimize" else max
    layers = []
    for trial in sorted(drawn, key=lambda t: (t.number in first, t.status != "stopped")):
        names = {"stopped": "stopped early", "failed": "failed"}
        layers.append(
            Layer(
                name=f"trial {trial.number}, {names.get(trial.status, 'finished')}",
                x=[float(amount) for amount, _ in trial.rungs],
                y=[hold(value, rim) for _, value in trial.rungs],
                marked=trial.number in first,
                faint=trial.number not in leaders,
            )
        )
    ends = [
        (float(t.rungs[-1][0]), hold(t.rungs[-1][1], rim)) for t in drawn if t.status == "stopped"
    ]
    layers.append(
        Layer(name="stopped early", x=[x for x, _ in ends], y=[y for _, y in ends], style="crosses")
    )
    amounts = [amount for t in drawn for amount, _ in t.rungs]
    axes = Axes(
        title="Intermediate values",
        x="amount of training",
        y=trials.metric,
        log_x=min(amounts) > 0 and max(amounts) / min(amounts) > 30,
        log_y=_log(trials),
    )
    return Drawing(
        svg=figures.plot(layers, axes),
        caption="Each trial's value as its training went on; crosses are where trials were stopped "
        f"early, the strong line is the best of those drawn.{_told(len(drawn), len(told))}",
    )


def _fronts(searched: Searched) -> list[Drawing]:
    trials = searched.trials
    told = [t for t in trials.trials if all(name in t.metrics for name in trials.objectives)]
    if not told or len(trials.objectives) < 2:
        return []
    drawn = sample(told, DOTS, set(searched.front))
    front = counted(len(searched.front), "trial")
    caption = f"{front} that no other beats in every objective.{_told(len(drawn), len(told))}"
    pairs = list(combinations(trials.objectives, 2))[:6]
    return [Drawing(svg=_pair(searched, drawn, pair), caption=caption) for pair in pairs]


def _pair(searched: Searched, drawn: Sequence[Trial], names: tuple[str, str]) -> str:
    objectives = searched.trials.objectives
    values = []
    for name in names:
        every = [t.metrics[name] for t in drawn]
        worst = limit(every, objectives[name])
        # The front reaches as far as it does; what lies behind it is kept near.
        edge = [t.metrics[name] for t in drawn if t.number in searched.front]
        low = objectives[name] == "minimize"
        rim = max([worst, *edge]) if low else min([worst, *edge])
        values.append([min(v, rim) if low else max(v, rim) for v in every])
    layers = []
    for best in (False, True):
        kept = [i for i, t in enumerate(drawn) if (t.number in searched.front) is best]
        x, y = ([column[i] for i in kept] for column in values)
        name = "front" if best else "trials"
        layers.append(Layer(name=name, x=x, y=y, style="dots", marked=best, faint=not best))
    told = [f"{name} ({_sense(searched.trials, name)})" for name in names]
    title = f"{names[1]} against {names[0]}"
    axes = Axes(title=title, x=told[0], y=told[1], log_x=_spread(values[0]))
    return figures.plot(layers, axes)


def _sense(trials: Trials, name: str) -> str:
    return "higher is better" if trials.objectives[name] == "maximize" else "lower is better"


def _spread(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _WIDE
