"""Chooses one of the forms that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raymm.artifacts import Candidate
from raymm.compression.applying import within_limits
from raymm.compression.judging import Judge
from raymm.compression.schedule import told
from raymm.sections import Limits


def choose(candidates: Sequence[Candidate], judge: Judge, limits: Limits) -> tuple[Candidate, ...]:
    """Return the candidates, one of them marked as chosen; ties go to the first.

    It is the smallest of the good ones within the limits; see `raymm.compression.frontier.explore`.
    """
    within = [index for index, one in enumerate(candidates) if within_limits(one, limits)]
    good = [index for index, one in enumerate(candidates) if judge.good(one)]
    both = [index for index in within if index in good]
    known = [told(one.technique, one.parameters) not in judge.silent for one in candidates]
    lossy = [i for i in within if known[i] and np.isfinite(candidates[i].loss.value)]
    if both or not lossy:
        best = min(both or good, key=lambda index: (candidates[index].bytes, index))
    else:
        best = min(lossy, key=lambda index: (candidates[index].loss.value, index))
    return tuple(replace(one, chosen=index == best) for index, one in enumerate(candidates))
