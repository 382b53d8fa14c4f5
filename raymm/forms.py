"""A compressed form beside the models it was made of: how far they answer alike, and the proof."""

from __future__ import annotations

import numpy as np

from raymm.artifacts import Candidate, Dataset, Indices
from raymm.bundle import parity
from raymm.bundle.blend import Blend
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.compression.agreement import require_agreement
from raymm.compression.judging import NONE

HARD_ROWS = 500


def require_parity(
    bundle: Bundle,
    candidate: Candidate,
    *,
    dataset: Dataset,
    rows: Indices,
    blend: Blend,
    seed: int,
) -> None:
    """Hold a compressed graph against what it was made of.

    Its trees must add up as the reference adds them, on hard rows (see
    `raymm.compression.agreement`). Where its answers are those of the trained models, or of the
    models cut as much, it must answer as they do, on test and on hard rows.

    Parameters
    ----------
    candidate : Candidate
        The form that the bundle is.
    rows : int64, shape (n,)
        The rows of the dataset that were trained on; hard rows are made of them.
    blend : Blend
        What came of training.
    seed : int
        Decides the hard rows.

    Raises
    ------
    ParityError
        When the two differ by more than may be.
    """
    if candidate.technique == NONE:
        return
    generator = np.random.default_rng(seed)
    hard = parity.adversarial(
        dataset.rows(rows), dataset.schema, generator=generator, count=HARD_ROWS
    )
    require_agreement(bundle, hard)
    share = kept_share(candidate)
    if share is None:
        return
    cut, runner = blend.kept(share), Runner(bundle)
    spread = float(np.std(dataset.y[rows]))
    for tensors in (dataset.rows(dataset.test), hard):
        parity.check(cut, runner, tensors, spread=spread)


def kept_share(candidate: Candidate) -> float | None:
    """Return the share of their rounds with which the trained models answer as a candidate does.

    None where no share of them does, as leaves or weights are other ones.
    """
    share = 1.0
    for name, recipe in compressing.steps(candidate):
        if name == "truncate":
            share *= float(recipe.get("keep") or 1.0)
        elif (name, recipe.get("size")) != ("prune", 1.0):
            return None
    return share
