"""How much each parameter of a space matters to the metric (functional analysis of variance).

A random forest is fitted to the trials' unit coordinates and values, and its variance over the
space is taken apart. The importance of a parameter is the share of that variance which its own
mean effect explains::

    P(active) Var_u( E[ f | u ] ) / Var( f )

where f is the forest's prediction, u the parameter's coordinate and E the mean over all others
drawn from the space (equations 3 to 6 of the source, for single parameters). A conditional
parameter's effect is taken over the part of the space where it is active, whose share of the
space is P(active); where it is inactive it stands at the middle. Shares are between 0 and 1; what
they lack of 1 is what parameters do only together, so their sum is at most about 1.

Values that are worse than the worst quartile by more than three times the distance between the
quartiles count as no worse than that: one configuration that diverges does not decide everything.

Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
importance". They integrate each tree exactly over its leaves; here the means are over `POINTS`
points at each of at most `LEVELS` levels, the same points at each, which also takes conditions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import (
    Categorical,
    Config,
    Float,
    Importance,
    Int,
    Parameter,
    Scalar,
    Space,
    Trials,
)
from raymm.search import space as spaces

LEAST = 10
"""Trials with a value below which nothing is said."""
MOST = 2000
"""Trials that the forest is fitted to: the newest and the best among more."""
TREES, PARTS = 48, 6
POINTS, LEVELS = 200, 12
_WIDE = 10.0

Vector = npt.NDArray[np.float64]


def importance(space: Space, trials: Trials, *, seed: int = 0) -> tuple[Importance, ...]:
    """Return each parameter's importance, the greatest first; none of fewer than `LEAST` trials.

    ``low`` and ``high`` are the least and the greatest found by sixths of the forest, which tell
    how far the forest agrees with itself. Trials outside the space and failures are left out. The
    same trials and seed give the same answer.
    """
    kept = [t for t in trials.leaderboard if spaces.contains(space, t.config)]
    if len(kept) < LEAST or len({trial.value for trial in kept}) < 2:
        return ()
    if len(kept) > MOST:
        best, rest = kept[: MOST // 2], kept[MOST // 2 :]
        kept = best + sorted(rest, key=lambda trial: -trial.number)[: MOST // 2]
    x = _coordinates(space, [trial.config for trial in kept])
    y = _held(np.array([trial.value for trial in kept]), minimize=trials.direction == "minimize")
    parts = _forest(x, y, seed)
    generator = np.random.default_rng(seed)
    sample = generator.random((POINTS * 5, len(space)))
    total = _predicted(parts, _settled(space, sample)).var(axis=1)
    found = []
    for name, parameter in space.items():
        fixed = isinstance(parameter, Float | Int) and parameter.low == parameter.high
        effect = np.zeros(PARTS + 1) if fixed else _effect(space, name, parts, generator)
        shares = np.divide(effect, total, out=np.zeros(PARTS + 1), where=total > 0)
        own = np.clip(shares, 0.0, 1.0)
        found.append(
            Importance(
                column=name, value=float(own[0]), low=float(own.min()), high=float(own.max())
            )
        )
    return tuple(sorted(found, key=lambda one: -one.value))


def _held(values: Vector, *, minimize: bool) -> Vector:
    losses = values if minimize else -values
    low, high = np.quantile(losses, (0.25, 0.75))
    if high > low:
        losses = np.minimum(losses, high + 3 * (high - low))
    return losses if minimize else -losses


def _forest(x: Vector, y: Vector, seed: int) -> list[Any]:
    from sklearn.ensemble import RandomForestRegressor

    each = TREES // PARTS
    # A third of the parameters at each split keeps a strong one from hiding the others.
    return [
        RandomForestRegressor(
            each, min_samples_leaf=2, max_features=max(1 / 3, 1 / x.shape[1]), random_state=seed + n
        ).fit(x, y)
        for n in range(PARTS)
    ]


def _predicted(parts: Sequence[Any], x: Vector) -> Vector:
    """Return the whole forest's predictions, then each part's: shape (parts + 1, n)."""
    each = np.array([part.predict(x) for part in parts])
    return np.vstack([each.mean(axis=0, keepdims=True), each])


def _coordinates(space: Space, configs: Sequence[Config]) -> Vector:
    found = np.array([spaces.unit(space, config) for config in configs])
    return np.where(np.isnan(found), 0.5, found)


def _settled(space: Space, rows: Vector) -> Vector:
    """Return coordinates, shape (n, d), with those of inactive parameters at the middle."""
    names = list(space)
    active: dict[str, npt.NDArray[np.bool_]] = {}
    found = rows.copy()
    for name in spaces.order(space):
        here = np.ones(len(rows), dtype=np.bool_)
        for parent, allowed in space[name].when.items():
            choice = space[parent]
            assert isinstance(choice, Categorical)
            count = len(choice.choices)
            cell = np.minimum((rows[:, names.index(parent)] * count).astype(np.int64), count - 1)
            wanted = [int(spaces.place(choice, value) * count) for value in allowed]
            here &= active[parent] & np.isin(cell, wanted)
        active[name] = here
        found[~here, names.index(name)] = 0.5
    return found


def _effect(
    space: Space, name: str, parts: Sequence[Any], generator: np.random.Generator
) -> Vector:
    """Return P(active) Var(E[f | u]) by the whole forest and by each part, shape (parts + 1,)."""
    parameter = space[name]
    sample = generator.random((POINTS, len(space)))
    chance = 1.0
    names = list(space)
    for parent, allowed in _conditions(space, name):
        choice = space[parent]
        assert isinstance(choice, Categorical)
        cells = sorted({spaces.place(choice, value) for value in allowed})
        chance *= len(cells) / len(choice.choices)
        sample[:, names.index(parent)] = generator.choice(cells, POINTS)
    levels = _levels(parameter)
    rows = np.repeat(sample[None], len(levels), axis=0)
    rows[:, :, names.index(name)] = levels[:, None]
    flat = rows.reshape(-1, len(space))
    means = _predicted(parts, _settled(space, flat))
    found: Vector = means.reshape(PARTS + 1, len(levels), POINTS).mean(axis=2).var(axis=1)
    return chance * found


def _conditions(space: Space, name: str) -> Iterator[tuple[str, Sequence[Scalar]]]:
    """Yield every ancestor of a parameter with the values that keep the parameter active."""
    wanted: dict[str, list[Scalar]] = {}
    waiting = [name]
    while waiting:
        for parent, values in space[waiting.pop()].when.items():
            if parent in wanted:
                wanted[parent] = [value for value in wanted[parent] if value in values]
            else:
                wanted[parent] = list(values)
                waiting.append(parent)
    yield from wanted.items()


def _levels(parameter: Parameter) -> Vector:
    if isinstance(parameter, Categorical):
        count = len(parameter.choices)
    elif isinstance(parameter, Int) and not parameter.log:
        count = min(LEVELS, parameter.high - parameter.low + 1)
    else:
        count = LEVELS
    return (np.arange(count) + 0.5) / count


# --------------------------------------------------------------------------------- what was tried


def observed_space(configs: Sequence[Config]) -> Space:
    """Return the space that configurations seem to come from, where it was not recorded.

    Numbers span what was tried, on a logarithmic scale where that is above 0, over a power of ten
    wide, and has its median nearer to the middle so; everything else is categorical. A parameter
    that some configurations lack is conditional on the categorical one whose values tell where it
    is there, if there is one.
    """
    values: dict[str, list[Scalar]] = {}
    for config in configs:
        for name, value in config.items():
            values.setdefault(name, []).append(value)
    plain = {name: _parameter(found, {}) for name, found in values.items()}
    return {
        name: _parameter(found, _when(name, plain, configs)) if len(found) < len(configs) else p
        for (name, found), p in zip(values.items(), plain.values(), strict=True)
    }


def _parameter(found: Sequence[Scalar], when: Mapping[str, Sequence[Scalar]]) -> Parameter:
    numeric = [v for v in found if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numeric) < len(found) or not all(map(math.isfinite, numeric)):
        return Categorical(list({repr(value): value for value in found}.values()), when)
    low, high = min(numeric), max(numeric)
    log = low > 0 and high / low >= _WIDE and _nearer(np.array(numeric, dtype=np.float64))
    if all(isinstance(value, int) for value in numeric):
        return Int(int(low), int(high), log, when)
    return Float(float(low), float(high), log, when)


def _nearer(values: Vector) -> bool:
    low, middle, high = values.min(), np.median(values), values.max()
    even = (middle - low) / (high - low)
    return bool(abs(np.log(middle / low) / np.log(high / low) - 0.5) < abs(even - 0.5))


def _when(
    name: str, space: Mapping[str, Parameter], configs: Sequence[Config]
) -> Mapping[str, Sequence[Scalar]]:
    for parent, parameter in space.items():
        if parent == name or not isinstance(parameter, Categorical):
            continue
        there = {repr(c[parent]) for c in configs if name in c and parent in c}
        lacking = {repr(c[parent]) for c in configs if name not in c and parent in c}
        orphan = any(name in c and parent not in c for c in configs)
        if there and not orphan and not there & lacking:
            return {parent: [c for c in parameter.choices if repr(c) in there]}
    return {}
