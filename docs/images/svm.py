"""Draws svm.svg beside this file: the search of jobs/svm.py, seen from inside.

``python docs/images/svm.py`` runs the same search by asking and telling, without Ray, and draws
the surrogate (what the Gaussian process expects) and the acquisition (what it finds worth trying)
after a few configurations and at the end.
"""

from __future__ import annotations

import math
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.scoring import scorer
from raymm.search import create
from raymm.search.acquisition import log_expected_improvement
from raymm.search.estimator import CrossValidation, folds_of
from raymm.search.gp_encoding import Encoding

Array = npt.NDArray[np.float64]

SPACE: Mapping[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "jobs" / "svm.py"))[
    "SPACE"
]
STAGES = (10, 25)
CELLS, SIDE = 48, 264
LEFT, TOP, GAP_X, GAP_Y = 70, 46, 64, 78
HOPELESS = 20.0
"""Differences of the logarithm beyond which a point promises nothing, for the eye."""
LEVELS = (
    "#440154", "#482374", "#404387", "#345e8d", "#29788e", "#20908c", "#22a784", "#44be70",
    "#79d151", "#bdde26", "#fde725",
)  # fmt: skip
"""Colours of equal steps in lightness (matplotlib's viridis)."""


@dataclass(frozen=True)
class Stage:
    """What is known after some configurations: places in [0, 1] of what was tried and of the
    next, and on the grid the expected accuracy and the log of the expected improvement, which
    the next has ``reached``. It is the best of the region, two corners, where there is one.
    """

    tried: Array
    scores: Array
    following: Array
    surrogate: Array
    acquisition: Array
    reached: float
    region: tuple[Array, Array] | None


def validation() -> CrossValidation:
    """Return the function that jobs/svm.py tunes."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SVC())
    return CrossValidation(
        estimator=pipeline,
        x=x,
        y=y,
        folds=folds_of(pipeline, x, y, 5, 0),
        score=scorer(pipeline, y, None, None)[2],
        seed=0,
    )


def search(function: Any, count: int) -> list[tuple[Mapping[str, Any], float]]:
    """Return ``count`` configurations and their scores, in order, and the next, scored NaN."""
    asking = create("gp", SPACE, seed=0, mode="max")
    found: list[tuple[Mapping[str, Any], float]] = []
    for _ in range(count):
        (made,) = asking.suggest(1)
        found.append((made.config, function(made.config)))
        asking.observe(made.id, found[-1][1])
    (made,) = asking.suggest(1)
    return [*found, (made.config, math.nan)]


def stage(history: list[tuple[Mapping[str, Any], float]], count: int) -> Stage:
    """Return what the algorithm saw when it chose what follows the first ``count`` results."""
    asking = create("gp", SPACE, seed=0, mode="max")
    for _, score in history[:count]:
        (made,) = asking.suggest(1)
        asking.observe(made.id, score)
    (made,) = asking.suggest(1)
    sight = asking.searcher.sight
    model, targets = sight.model, sight.targets
    encoding = Encoding(SPACE)
    units = encoding.units([*(dict(config) for config, _ in history[:count]), made.config])
    scores = np.array([score for _, score in history[:count]])
    axis = (np.arange(CELLS) + 0.5) / CELLS
    grid = np.array([(x, y) for y in axis for x in axis])
    mean, deviation = model.predict(encoding.features(grid))
    best = float(model.fitted().min())
    promise = log_expected_improvement(mean, deviation, best, count)[0]
    promise = np.maximum(promise, promise.max() - HOPELESS)
    chosen = encoding.features(units[count:])
    reached = log_expected_improvement(*model.predict(chosen), best, count)[0]
    order = np.argsort(targets)
    expected = np.interp(mean, targets[order], scores[order])
    shape = (CELLS, CELLS)
    return Stage(
        units[:count],
        scores,
        units[count],
        expected.reshape(shape),
        promise.reshape(shape),
        float(reached[0]),
        sight.region,
    )


# ------------------------------------------------------------------------------------- drawing


def levels(values: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Return each value's colour, and the colours' bounds: equal shares of the values."""
    bounds = np.quantile(values, np.linspace(0, 1, len(LEVELS) + 1))
    return np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, len(LEVELS) - 1), bounds


def cells(colours: npt.NDArray[np.int64]) -> str:
    """Return a path a colour; cells of one colour beside each other are one rectangle."""
    size = SIDE / CELLS
    paths: dict[int, list[str]] = {}
    for row, line in enumerate(colours):
        start = 0
        for end in range(1, CELLS + 1):
            if end == CELLS or line[end] != line[start]:
                top = SIDE - (row + 1) * size
                width = (end - start) * size
                paths.setdefault(int(line[start]), []).append(
                    f"M{start * size:g} {top:g}h{width:g}v{size:g}h-{width:g}z"
                )
                start = end
    return "".join(
        f'<path fill="{LEVELS[colour]}" stroke="{LEVELS[colour]}" stroke-width=".3" '
        f'd="{"".join(parts)}"/>'
        for colour, parts in sorted(paths.items())
    )


def region(made: Stage) -> str:
    """Return the outline of where the next configuration was looked for."""
    if made.region is None:
        return ""
    (left, low), (right, high) = (SIDE * corner for corner in made.region)
    return (
        f'<rect class="region" x="{left:.1f}" y="{SIDE - high:.1f}" width="{right - left:.1f}" '
        f'height="{high - low:.1f}" fill="none" stroke="#fff" stroke-width="2" '
        'stroke-dasharray="5 4"/>'
    )


def points(made: Stage) -> str:
    """Return the configurations tried, numbered in their order, the best in red, and the next."""
    best = int(np.argmax(made.scores))
    drawn = []
    for number, (x, y) in enumerate(made.tried):
        colour = "#d62728" if number == best else "#222"
        drawn.append(
            f'<g class="tried" transform="translate({x * SIDE:.1f} {(1 - y) * SIDE:.1f})">'
            f'<circle r="7" fill="#fff" fill-opacity=".85" stroke="{colour}"/>'
            f'<text y="3" text-anchor="middle" font-size="8" fill="{colour}">{number + 1}</text>'
            "</g>"
        )
    x, y = made.following[0] * SIDE, (1 - made.following[1]) * SIDE
    drawn.append(
        f'<path class="next" stroke="#d62728" stroke-width="3" fill="none" '
        f'd="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>'
    )
    return "".join(drawn)


def ticks() -> str:
    """Return the powers of ten along both axes, and their names."""
    drawn = []
    for axis, (name, parameter) in enumerate(SPACE.items()):
        low, high = math.log10(parameter.low), math.log10(parameter.high)
        for power in range(round(low), round(high) + 1):
            at = (power - low) / (high - low) * SIDE
            x, y, anchor = (at, SIDE + 14, "middle") if axis == 0 else (-6, SIDE - at + 3, "end")
            label = f'10<tspan dy="-4" font-size="7">{power}</tspan>'
            drawn.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{label}</text>')
        short = name.removeprefix("svc__")
        side = f"translate(-36 {SIDE / 2}) rotate(-90)"
        place = f'x="{SIDE / 2}" y="{SIDE + 30}"' if axis == 0 else f'transform="{side}"'
        drawn.append(f'<text {place} text-anchor="middle" font-weight="bold">{short}</text>')
    return "".join(drawn)


def panel(made: Stage, place: tuple[int, int], title: str, values: Array, form: str) -> str:
    """Return one map with its title and the values at its darkest and lightest."""
    x, y = LEFT + place[0] * (SIDE + GAP_X), TOP + place[1] * (SIDE + GAP_Y)
    colours, bounds = levels(values)
    span = f"dark {bounds[0]:{form}}, light {bounds[-1]:{form}}"
    return (
        f'<g transform="translate({x} {y})">'
        f'<text y="-20" font-size="13" font-weight="bold">{title}</text>'
        f'<text y="-6">{span}</text>{cells(colours)}'
        f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#222"/>'
        f"{ticks()}{region(made)}{points(made)}</g>"
    )


def draw(stages: Mapping[int, Stage]) -> str:
    """Return the picture: a row a stage, the surrogate and the acquisition side by side."""
    width = LEFT + 2 * SIDE + GAP_X + 16
    height = TOP + len(stages) * (SIDE + GAP_Y)
    drawn = []
    for row, (count, made) in enumerate(stages.items()):
        title = f"after {count}: expected accuracy"
        drawn.append(panel(made, (0, row), title, made.surrogate, ".3f"))
        title = f"after {count}: log expected improvement"
        drawn.append(panel(made, (1, row), title, made.acquisition, ".1f"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="10" fill="#222">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def main(path: Path, stages: tuple[int, ...] = STAGES) -> None:
    """Search, and write the picture."""
    history = search(validation(), max(stages))
    path.write_text(draw({count: stage(history, count) for count in stages}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
