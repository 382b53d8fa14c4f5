"""A number's place among the training rows, as a standard normal deviate.

Networks, kernels and weighted sums see little of a skewed number but its outliers, and a sum can
only draw a straight line through it. The normal score is monotone and bounded whatever the unit:
the deviate of the share of training rows below, counting half of those equal, between knots a
straight line, beyond them constant. Source: van der Waerden 1952; as a preparation for networks,
Gorishniy et al. 2021, "Revisiting deep learning models for tabular data".
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from raymm.onnx_builder import FLOAT, GraphBuilder

KNOTS = 32
"""Most knots: the values themselves where they are few, else quantiles."""
_DOUBLE = 11


class NormalScore:
    """A piecewise linear, increasing function.

    Attributes
    ----------
    knots, scores : float64, shape (k,), 1 <= k <= `KNOTS`
        Increasing both; the scores have mean 0 and deviation 1 over the training rows.
    """

    knots: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def fit(self, numbers: npt.NDArray[np.float32]) -> Self:
        """Learn from shape (n,) without NaN, at least one row."""
        from scipy.special import ndtri

        ordered = np.sort(numbers.astype(np.float64))
        knots = np.unique(ordered)
        if len(knots) > KNOTS:
            knots = np.unique(np.quantile(ordered, np.linspace(0.0, 1.0, KNOTS)))
        below = np.searchsorted(ordered, knots, side="left")
        upto = np.searchsorted(ordered, knots, side="right")
        edge = 0.5 / KNOTS
        share = np.clip((below + upto) / (2.0 * len(ordered)), edge, 1.0 - edge)
        self.knots, self.scores = knots, np.asarray(ndtri(share), np.float64)
        made = np.interp(ordered, self.knots, self.scores)
        spread = float(made.std())
        self.scores = (self.scores - made.mean()) / (spread if spread > 1e-12 else 1.0)
        return self

    def __call__(self, numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the scores of shape (n,), which holds no NaN."""
        return np.interp(numbers.astype(np.float64), self.knots, self.scores).astype(np.float32)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the nodes for a float32 tensor of shape (n, 1) without NaN.

        The sum over the intervals of slope times the way into each, in float64 as in numpy.
        """

        def row(values: npt.NDArray[np.float64]) -> str:
            return builder.constant(values[None, :], np.float64)

        width = np.diff(self.knots)
        way = builder.node("Cast", [tensor], to=_DOUBLE)
        way = builder.node("Sub", [way, row(self.knots[:-1])])
        way = builder.node("Max", [way, builder.constant(0.0, np.float64)])
        way = builder.node("Min", [way, row(width)])
        slope = builder.constant((np.diff(self.scores) / width)[:, None], np.float64)
        first = builder.constant(self.scores[:1], np.float64)
        return builder.node(
            "Cast", [builder.node("Add", [builder.node("MatMul", [way, slope]), first])], to=FLOAT
        )
