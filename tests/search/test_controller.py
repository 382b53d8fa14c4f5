import time

import numpy as np
import pytest
from scipy.special import log_softmax

from raymm.search import controller
from raymm.search import space as spaces
from raymm.search.controller import Controller, Policy, rewards
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")
CELL = {f"edge{n}": Categorical(OPERATIONS) for n in range(6)}
NET = {
    "solver": Categorical(("adam", "sgd")),
    "momentum": Float(0, 1, when={"solver": ("sgd",)}),
    "rate": Float(1e-5, 1.0, log=True),
    "width": Int(8, 512, log=True),
}


def cell(config):
    codes = [OPERATIONS.index(config[f"edge{n}"]) for n in range(6)]
    return sum((code - n % 5) ** 2 for n, code in enumerate(codes)) + 3 * (codes[0] != codes[5])


def net(config):
    loss = abs(np.log10(config["rate"]) + 2) + abs(np.log2(config["width"] / 64)) / 2
    return loss + (abs(config["momentum"] - 0.9) if "momentum" in config else 1.0)


def _make(space, seed=0, kind=Controller):
    return kind(space, mode="minimize", generator=np.random.default_rng(seed))


def _run(searcher, count, function):
    results = []
    for _ in range(count):
        (made,) = searcher.suggest(1)
        results.append(Result(made.id, made.config, function(made.config)))
        searcher.observe(results[-1:])
    return results


@pytest.mark.slow
def test_it_keeps_the_laws_of_searchers() -> None:
    check_searcher(Controller, examples=6)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "function"), [(CELL, cell), (NET, net)])
def test_it_beats_random_search(space, function) -> None:
    ours, chance = (
        np.median([min(r.value for r in _run(_make(space, s, k), 120, function)) for s in range(3)])
        for k in (Controller, Random)
    )
    assert ours < 0.7 * chance


def test_what_suits_an_earlier_choice_is_learned() -> None:
    # one bit alone says nothing: only their pair does
    space = {"a": Categorical((0, 1)), **{f"x{n}": Float(0, 1) for n in range(2)}}
    space["b"] = Categorical((0, 1))
    searcher = _make(space)
    results = _run(searcher, 150, lambda c: float(c["a"] != c["b"]) + 1e-3 * c["x0"])
    late = [r.value < 0.5 for r in results[75:]]
    # even draws agree half the time, 37.5 ± 4.3 of 75
    assert sum(late) > 60


def test_the_policy_is_a_conditional_logit() -> None:
    policy = Policy([3, 2, 4])
    random = np.random.default_rng(0)
    policy.bias[:] = random.normal(size=policy.bias.shape)
    policy.pairs[:] = random.normal(size=policy.pairs.shape)
    policy.pairs[:] *= (np.arange(3)[:, None] > np.arange(3))[:, None, :, None]
    chosen = np.array([2, -1, 3])
    own = log_softmax(policy.bias[0, :3])[2]
    last = log_softmax(policy.bias[2] + policy.pairs[2, :, 0, 2])[3]
    assert np.allclose(policy.odds(chosen), [own, 0, last])
    # drawn by Gumbel noise, a choice comes as often as its probability says
    noise = random.gumbel(size=(4000, 4))
    drawn = np.bincount([policy.choose(2, np.array([2, -1, -1]), n) for n in noise], minlength=4)
    expected = np.exp(log_softmax(policy.bias[2] + policy.pairs[2, :, 0, 2]))
    # six standard deviations of a share of 4,000 draws
    assert np.all(np.abs(drawn / 4000 - expected) < 6 * np.sqrt(0.25 / 4000))


def test_the_slope_is_that_of_the_clipped_surrogate_and_the_entropy(monkeypatch) -> None:
    monkeypatch.setattr(controller, "ENTROPY", 0.3)
    random = np.random.default_rng(1)
    policy = Policy([3, 4, 2])
    policy.bias[:] = 0.3 * random.normal(size=policy.bias.shape)
    chosen = np.array([[2, 0, 1], [0, -1, 1], [1, 3, -1], [2, 2, 0]])
    odds = np.array([policy.odds(row) for row in chosen]) + 0.2 * random.normal(size=(4, 3))
    gain = np.array([1.5, -0.5, 0.7, -1.2])

    def surrogate() -> float:
        total = 0.0
        for row, old, g in zip(chosen, odds, gain, strict=True):
            for place, cell_ in enumerate(row):
                if cell_ >= 0:
                    width = [3, 4, 2][place]
                    logs = log_softmax(policy.bias[place, :width])
                    ratio = np.exp(logs[cell_] - old[place])
                    low, high = 1 / (1 + controller.CLIP), 1 + controller.CLIP
                    total += min(ratio * g, np.clip(ratio, low, high) * g)
                    total -= 0.3 * float(np.exp(logs) @ logs)
        return total

    slope, _ = policy._slope(chosen, odds, gain)
    for place, width in enumerate((3, 4, 2)):
        for cell_ in range(width):
            policy.bias[place, cell_] += 1e-5
            above = surrogate()
            policy.bias[place, cell_] -= 2e-5
            below = surrogate()
            policy.bias[place, cell_] += 1e-5
            # central differences err by the third derivative, of size 1, times 1e-10
            assert slope.sum(axis=0)[place, cell_] == pytest.approx(
                (above - below) / 2e-5, abs=1e-6
            )


def test_rewards_have_mean_zero_and_fall_with_the_rank() -> None:
    for count in (2, 10, 99):
        made = rewards(np.arange(count))
        assert made.mean() == pytest.approx(0, abs=1e-12)
        assert np.all(np.diff(made) <= 0)
        assert made[0] > 0
    assert not rewards(np.zeros(5, int)).any()


def test_equal_results_teach_nothing() -> None:
    searcher = _make(CELL)
    _run(searcher, 40, lambda config: 1.0)
    # the entropy bonus alone acts, and its slope is 0 at an even policy
    assert np.allclose(searcher.policy.bias, 0, atol=1e-6)


def test_within_a_bin_numbers_go_to_the_best_result() -> None:
    space = {"x": Float(0, 1), "k": Categorical(("a", "b"))}
    best = min(_run(_make(space), 150, lambda c: abs(c["x"] - 0.4217)), key=lambda r: r.value)
    # bins are an eighth wide; even draws would come within 1/150 once in two seeds or so
    assert best.value < 1e-3


def test_results_of_others_are_learned_from_and_not_tried_again() -> None:
    searcher = _make(CELL)
    old = _run(_make(CELL, 3, Random), 60, lambda c: float(c["edge2"] != "skip"))
    searcher.observe(old)
    searcher.expect([Suggestion("other", dict.fromkeys(CELL, "none"))])
    made = searcher.suggest(40)
    assert sum(s.config["edge2"] == "skip" for s in made) > 16  # an even draw gives 8 ± 2.5
    known = {spaces.key(r.config) for r in old}
    assert not any(spaces.key(s.config) in known for s in made)


@pytest.mark.slow
def test_the_time_and_memory_of_a_suggestion_stay_bounded() -> None:
    searcher = _make(NET)
    _run(searcher, 120, net)
    times = []
    for _ in range(5):
        start = time.process_time()
        _run(searcher, 20, net)
        times.append(time.process_time() - start)
    _run(searcher, 150, net)
    start = time.process_time()
    _run(searcher, 20, net)
    assert time.process_time() - start < 4 * max(times) + 0.05
    assert len(searcher._memory) == controller.MEMORY
    assert len(searcher._odds) == 0


def test_a_trial_that_went_on_is_remembered_once_with_the_odds_it_was_drawn_at() -> None:
    searcher = _make(CELL)
    (made,) = searcher.suggest(1)
    searcher.observe([Result(made.id, made.config, 1.0, budget=3.0)])
    ((_, _, odds),) = searcher._memory.values()
    searcher.observe([Result(made.id, made.config, 0.5, budget=9.0)])
    ((reached, _, again),) = searcher._memory.values()
    assert again is odds
    assert reached == (False, -9.0, 0.5)


def test_a_space_too_wide_for_pairs_is_learned_choice_by_choice(monkeypatch) -> None:
    monkeypatch.setattr(controller, "PAIRED", 50)
    space = {f"p{n}": Categorical(tuple(f"c{m}" for m in range(10))) for n in range(6)}
    searcher = Controller(space, mode="minimize", generator=np.random.default_rng(0))
    assert searcher.policy.pairs.size == 0
    values = []
    for _ in range(150):
        (made,) = searcher.suggest(1)
        values.append(float(sum(made.config[name] != "c3" for name in list(space)[:3])))
        searcher.observe([Result(made.id, made.config, values[-1])])
    # 2.7 of three are wrong by chance
    assert np.mean(values[-40:]) < 2.0
