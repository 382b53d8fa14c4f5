"""Looks for numbers that add up, or multiply, to a numeric target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly
from raymm.data.evidence import Evidence
from raymm.data.findings import anomaly
from raymm.features.columns import numbers

EXACT = 0.9999
"""The share of the target's variance that a sum must explain to be taken for its making."""

_ROWS = 4_000
_COLUMNS = 200
_SHOWN = 6

Matrix = npt.NDArray[np.float64]


def totals(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning for each of the numbers that together make up a numeric target exactly.

    A least-squares fit on 4,000 rows finds sums and differences, a second one on logarithms
    products and quotients. Only weights that a person writes count: all of one size, or of two
    digits; a noiseless law of nature has others. Of more than 200 numbers those most
    correlated with the target are tried. Numbers that are the target already are left out, or they
    would hide the rest.
    """
    if evidence.classes:
        return
    names, x, y = _complete(evidence)
    for logs in (False, True):
        keep: npt.NDArray[np.bool_] = np.ones(len(names), dtype=bool)
        left, aim = x, y
        if logs:
            keep = np.all(x > 0, axis=0)
            if not (y > 0).all():
                return
            left, aim = np.log(x[:, keep]), np.log(y)
        used = [name for name, kept in zip(names, keep, strict=True) if kept]
        weights, rest = _exact(left, aim)
        if weights is None or not _written(weights[weights != 0]):
            continue
        parts = [name for name, weight in zip(used, weights, strict=True) if weight]
        told = _formula(evidence.schema.target, used, weights, logs=logs)
        told += " up to a constant" if rest and "=" in told else ""
        for name in parts:
            others = [part for part in parts if part != name]
            yield anomaly(
                "suspected leak",
                name,
                told,
                "features that are known before the target is",
                f'It is used all the same. If "{name}" is known only with the target, list it in '
                f"data.exclude, and look at {', '.join(map(repr, others[:_SHOWN]))} too.",
            )
        return


def _complete(evidence: Evidence) -> tuple[list[str], Matrix, Matrix]:
    """Return names, values and target, float64, of numbers nine tenths full, without gaps."""
    rows = evidence.rows
    if len(rows) > _ROWS:
        rows = np.sort(np.random.default_rng(1).choice(rows, _ROWS, replace=False))
    y = evidence.y[rows]
    found: list[tuple[float, str, Matrix]] = []
    for column in evidence.features:
        if column.kind != "number":
            continue
        rough = evidence.tensors[column.name][rows]
        full = ~np.isnan(rough)
        if full.mean() < 0.9 or np.ptp(rough[full]) == 0 or np.ptp(y[full]) == 0:
            continue
        near = abs(float(np.corrcoef(rough[full].astype(np.float64), y[full])[0, 1]))
        if near < EXACT:
            # As float64: sums of large amounts are not exact in float32.
            exact = numbers(evidence.frame[column.name].iloc[rows], column)
            found.append((near, column.name, exact))
    found = sorted(found, key=lambda one: -one[0])[:_COLUMNS]
    x = np.column_stack([one[2] for one in found]) if found else np.empty((len(rows), 0))
    whole = np.isfinite(x).all(axis=1)
    return [one[1] for one in found], x[whole], y[whole]


def _exact(x: Matrix, y: Matrix) -> tuple[Matrix | None, bool]:
    """Return the weights with which two columns or more make up y, and whether a constant is left.

    The weights of other columns are 0; they are None where no columns make up y.
    """
    if x.shape[1] < 2 or len(x) < max(50, 2 * x.shape[1] + 20):
        return None, False
    spread = x.std(axis=0)
    used = np.flatnonzero(spread > 0)
    for _ in range(2):
        if len(used) < 2:
            return None, False
        centred = (x[:, used] - x[:, used].mean(axis=0)) / spread[used]
        aim = y - y.mean()
        weights = np.linalg.lstsq(centred, aim, rcond=1e-10)[0]
        left = np.abs(aim - centred @ weights)
        # The median too, or one huge value that two columns share would pass for a formula.
        if left @ left > (1 - EXACT) * (aim @ aim) or np.median(left) > 0.01 * np.abs(aim).mean():
            return None, False
        heavy = np.abs(weights) >= 1e-3 * aim.std()
        used, weights = used[heavy], weights[heavy]
    if len(used) < 2:
        return None, False
    result = np.zeros(x.shape[1])
    result[used] = weights / spread[used]
    rest = abs(float(y.mean() - x.mean(axis=0) @ result)) > 0.01 * float(y.std())
    return result, rest


def _written(weights: Matrix) -> bool:
    """Whether weights are of one size, or each has two digits, to a thousandth."""
    sizes = np.abs(weights)
    if np.ptp(sizes) <= 5e-3 * sizes.max():
        return True
    scale = 10.0 ** (np.floor(np.log10(sizes)) - 1)
    return bool(np.all(np.abs(sizes - np.round(sizes / scale) * scale) <= 1e-3 * sizes))


def _formula(target: str, names: list[str], weights: Matrix, *, logs: bool) -> str:
    parts = [(name, weight) for name, weight in zip(names, weights, strict=True) if weight]
    if not all(abs(abs(weight) - 1) < 0.01 for _, weight in parts):
        kind = "product of powers" if logs else "weighted sum"
        more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
        shown = ", ".join(name for name, _ in parts[:_SHOWN])
        return f"{target} is a {kind} of {shown}{more}"
    parts.sort(key=lambda part: part[1] < 0)
    plus, minus = ("×", "/") if logs else ("+", "-")
    text = "1" if parts[0][1] < 0 and logs else ""
    for name, weight in parts[:_SHOWN]:
        sign = plus if weight > 0 else minus
        text += f" {sign} {name}" if text or weight < 0 else name
    more = " …" if len(parts) > _SHOWN else ""
    return f"{target} = {text.strip()}{more}"
