"""A controller learned by reinforcement: one choice emitted after the other.

The policy is a conditional logit: the log-odds of a choice are a bias plus a weight for each
choice made before it, so what suits an earlier choice can be learned. Choices are emitted in the
space's order, parents before what is conditional on them, and inactive parameters are passed
over. A number is a choice among bins first; within a bin it is drawn near the best result there.

The policy ascends the policy gradient (Williams 1992, "Simple statistical gradient-following
algorithms", REINFORCE) with a mean-reward baseline and an entropy bonus, as the recurrent
controller of Zoph & Le 2017, "Neural architecture search with reinforcement learning",
equations 3 and 4. That one spends tens of thousands of evaluations. To learn within a few hundred,
each result is used in many steps, with importance ratios clipped as in Schulman et al. 2017,
"Proximal policy optimization algorithms", equation 7, and rewards are made of ranks as in
Wierstra et al. 2014, "Natural evolution strategies", section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Direction, Int, Parameter, Scalar, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.evolution import reflected
from raymm.search.one_by_one import Key, OneByOne, Rank, rank
from raymm.search.searcher import Result

Vector = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 8
"""Bins of a number; a whole number of fewer values has one bin a value."""
STARTUP = 10
"""Results before the first step: ranks of fewer say little."""
MEMORY = 100
"""Latest results that are learned from, so that the time of a step stays bounded."""
EPOCHS = 5
"""Steps of gradient ascent after each result; 10 chase the first good results too hard."""
RATE = 0.05
PAIRS = 0.3
"""Learning rate of the biases, and what part of it the weights between choices learn at."""
PAIRED = 1000
"""Parameters times choices of the widest up to which choices are weighed by earlier ones. The
weights grow with the square: 85 ms a step at 1,000, 300 ms and 96 MB at 2,000. Beyond, each
parameter has its biases alone."""
CLIP = 2.0
"""How far a choice's probability may move from what it was when it was made, as a share. The
mean regret on eight tables is 0.18 of random search's at 0.5, 0.11 at 1, 0.09 at 2 (200
evaluations, 5 seeds)."""
ENTROPY = 0.02
"""Weight of the entropy bonus."""
HEAT = 0.5
"""What is added to the temperature after each draw that gave a configuration seen before."""
STILL = 1e-3
"""Slope under which Adam's steps shrink; rewards are of size 1."""
EVEN = 0.2
"""Share of draws that are even within a bin."""


@searcher("controller")
class Controller(OneByOne):
    """Draws each choice from a policy that is trained on the ranks of the latest results."""

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._order = spaces.order(space)
        self._widths = [_width(space[name]) for name in self._order]
        self.policy = Policy(self._widths)
        self._odds: dict[Key, Vector] = {}
        self._memory: dict[Key, tuple[Rank, Ints, Vector]] = {}
        self._best: dict[tuple[int, int], tuple[Rank, float, int]] = {}
        self._heat = 1.0

    def _next(self) -> Config | None:
        self._heat = 1.0
        config = self._seen.fresh(self._draw)
        if config is not None:
            chosen, _ = self._choices(config)
            self._odds[spaces.key(config)] = self.policy.odds(chosen)
        return config

    def observe(self, results: Sequence[Result]) -> None:
        """Train on final results; those whose configuration lies outside the space are left."""
        for result in results:
            if result.final and spaces.contains(self.space, result.config):
                self._seen.add([result.config])
                self._remember(result)
                self._learn()

    def _draw(self) -> Config:
        noise = self.generator.gumbel(size=self.policy.bias.shape) * self._heat
        self._heat += HEAT
        chosen = np.full(len(self._order), -1)
        config: dict[str, Scalar] = {}
        for place, name in enumerate(self._order):
            if spaces.is_active(name, self.space, config):
                chosen[place] = cell = self.policy.choose(place, chosen, noise[place])
                at = (cell + self._within(place, cell)) / self._widths[place]
                config[name] = spaces.value_at(self.space[name], at)
        return {name: config[name] for name in self.space if name in config}

    def _within(self, place: int, cell: int) -> float:
        """Return a coordinate in [0, 1] within a bin, ever nearer to the best result in it."""
        if isinstance(self.space[self._order[place]], Categorical):
            return 0.5
        known = self._best.get((place, cell))
        if known is None or self.generator.random() < EVEN:
            return float(self.generator.random())
        _, best, count = known
        return reflected(best + self.generator.normal() / (2 * math.sqrt(count)))

    def _choices(self, config: Config) -> tuple[Ints, Vector]:
        """Return each parameter's choice or bin, -1 where inactive, and the place within it."""
        chosen, within = np.full(len(self._order), -1), np.zeros(len(self._order))
        for place, name in enumerate(self._order):
            if name in config:
                at = spaces.place(self.space[name], config[name]) * self._widths[place]
                chosen[place] = min(int(at), self._widths[place] - 1)
                within[place] = at - chosen[place]
        return chosen, within

    def _remember(self, result: Result) -> None:
        chosen, within = self._choices(result.config)
        reached, key = rank(result, self.mode), spaces.key(result.config)
        # What another suggested is taken for an even draw; a trial that went on with a larger
        # budget is remembered once.
        odds = self._odds.pop(key, -np.log(self._widths))
        if key in self._memory:
            odds = self._memory.pop(key)[2]
        self._memory[key] = reached, chosen, odds
        if len(self._memory) > MEMORY:
            del self._memory[next(iter(self._memory))]
        for place in np.flatnonzero(chosen >= 0).tolist():
            at = (place, int(chosen[place]))
            best, where, count = self._best.get(at, (reached, float(within[place]), 0))
            if reached < best:
                best, where = reached, float(within[place])
            self._best[at] = best, where, count + 1

    def _learn(self) -> None:
        if len(self._memory) < STARTUP:
            return
        ranks, chosen, odds = zip(*self._memory.values(), strict=True)
        better = {reached: place for place, reached in reversed(list(enumerate(sorted(ranks))))}
        order = np.array([better[reached] for reached in ranks])
        self.policy.learn(np.array(chosen), np.array(odds), rewards(order))


def rewards(order: Ints) -> Vector:
    """Return advantages with mean 0 for ranks from 0, the best; shape (n,)."""
    useful = np.maximum(0.0, math.log(len(order) / 2 + 1) - np.log(order + 1.0))
    mean = float(useful.mean())
    return useful / mean - 1.0 if mean > 0 else np.zeros(len(order))


class Policy:
    """A conditional logit for each of p parameters of at most k choices.

    Attributes
    ----------
    bias : float64, shape (p, k)
    pairs : float64, shape (p, k, p, k), empty where p k is above `PAIRED`
        ``pairs[i, a, j, b]`` is added to the log-odds of choice ``a`` of parameter ``i`` where an
        earlier parameter ``j`` holds choice ``b``.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        places, widest = len(widths), max(widths)
        self.bias = np.zeros((places, widest))
        self._paired = places * widest <= PAIRED
        self.pairs = np.zeros((places, widest, places, widest) if self._paired else (0, 0, 0, 0))
        self._cells = np.arange(widest)
        self._illegal = np.where(self._cells < np.array(widths)[:, None], 0.0, -np.inf)
        earlier = np.arange(places)[:, None] > np.arange(places)
        self._earlier = earlier[:, None, :, None]
        self._moments = [(np.zeros_like(w), np.zeros_like(w)) for w in (self.bias, self.pairs)]
        self._steps = 0

    def choose(self, place: int, chosen: Ints, noise: Vector) -> int:
        """Draw a choice: the largest of log-odds and Gumbel noise, shape (k,).

        ``chosen``, shape (p,), holds the earlier choices, -1 where there is none.
        """
        logits = self.bias[place]
        if self._paired:
            before = np.flatnonzero(chosen[:place] >= 0)
            logits = logits + self.pairs[place][:, before, chosen[before]].sum(axis=1)
        return int(np.argmax(logits + self._illegal[place] + noise))

    def odds(self, chosen: Ints) -> Vector:
        """Return the log-probability of each choice of (p,); 0 where it is -1."""
        logs, hot = self._forward(chosen[None])
        own: Vector = np.sum(np.where(hot > 0, logs, 0.0), axis=2)[0]
        return own

    def _forward(self, chosen: Ints) -> tuple[Vector, Vector]:
        """Return log-probabilities and one-hot choices of (n, p), both of shape (n, p, k)."""
        hot = (chosen[:, :, None] == self._cells).astype(np.float64)
        logits = self.bias + self._illegal
        if self._paired:
            size = self.bias.size
            weighed = hot.reshape(-1, size) @ self.pairs.reshape(size, size).T
            logits = logits + weighed.reshape(hot.shape)
        else:
            logits = np.broadcast_to(logits, hot.shape).copy()
        logits -= logits.max(axis=2, keepdims=True)
        logs: Vector = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
        return logs, hot

    def learn(self, chosen: Ints, odds: Vector, advantage: Vector) -> None:
        """Ascend the clipped surrogate and the entropy for some steps.

        Parameters
        ----------
        chosen : int64, shape (n, p)
        odds : float64, shape (n, p)
            Log-probabilities of the choices when they were made.
        advantage : float64, shape (n,)
        """
        for _ in range(EPOCHS):
            slope, hot = self._slope(chosen, odds, advantage)
            pairs = self.pairs
            if self._paired:
                flat = slope.reshape(len(slope), -1)
                pairs = (flat.T @ hot.reshape(flat.shape)).reshape(self.pairs.shape)
                pairs = pairs * self._earlier / len(slope)
            self._ascend(slope.mean(axis=0), pairs)

    def _slope(self, chosen: Ints, odds: Vector, advantage: Vector) -> tuple[Vector, Vector]:
        """Return the surrogate's slope in each log-odds, and the one-hot choices, (n, p, k)."""
        logs, hot = self._forward(chosen)
        active = (chosen >= 0)[:, :, None]
        finite = np.maximum(logs, -1e3)
        share = np.exp(finite)
        ratio = np.exp(np.minimum((finite * hot).sum(axis=2) - odds, 20.0))
        gain = advantage[:, None]
        held = np.where(gain > 0, ratio < 1 + CLIP, ratio > 1 / (1 + CLIP))
        slope = (held * gain * ratio)[:, :, None] * (hot - share)
        entropy = -(share * finite).sum(axis=2, keepdims=True)
        slope -= ENTROPY * share * (finite + entropy)
        return slope * active, hot

    def _ascend(self, bias: Vector, pairs: Vector) -> None:
        """Take one step of Adam (Kingma & Ba 2015, algorithm 1)."""
        self._steps += 1
        first, second = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        rates = (self.bias, bias, RATE), (self.pairs, pairs, RATE * PAIRS)
        for (weight, slope, rate), moments in zip(rates, self._moments, strict=True):
            moments[0][...] += 0.1 * (slope - moments[0])
            moments[1][...] += 0.001 * (slope**2 - moments[1])
            weight[...] += rate / first * moments[0] / (np.sqrt(moments[1] / second) + STILL)


def _width(parameter: Parameter) -> int:
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    if parameter.low == parameter.high:
        return 1
    return min(BINS, parameter.high - parameter.low + 1) if isinstance(parameter, Int) else BINS
