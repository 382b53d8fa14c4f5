import numpy as np

from raymm.search import gaussian
from raymm.search import space as spaces
from raymm.search.acquisition import ACQUISITIONS
from raymm.search.gaussian import Posterior
from raymm.search.gp_encoding import Encoding
from raymm.search.gp_proposal import Proposal, beside, neighbours
from raymm.search.lattice import grid
from raymm.search.space import Categorical, Float, Int

MIXED = {
    "x": Float(-2, 2),
    "kind": Categorical(("a", "b", "c")),
    "n": Int(0, 9),
    "y": Float(0, 1, when={"kind": ("b",)}),
}


def _proposal(space, function, rows=40, name="ucb"):
    rng = np.random.default_rng(0)
    encoding = Encoding(space)
    units = encoding.snap(rng.random((rows, len(space))))
    targets = np.array([function(encoding.config(row)) for row in units])
    targets = (targets - targets.mean()) / targets.std()
    features = encoding.features(units)
    start = gaussian.prior_mode(encoding.count)
    hyper, _ = gaussian.fit(features, targets, encoding.groups, start, evaluations=50)
    posterior = Posterior(features, targets, encoding.groups, hyper)
    acquisition = ACQUISITIONS[name]
    proposal = Proposal(encoding, posterior, acquisition, best=float(targets.min()), count=rows)
    return encoding, proposal, units[np.argsort(targets)][:5], rng


def _mixed(config):
    return (config["x"] - 1) ** 2 + (config["kind"] != "b") + 0.1 * abs(config["n"] - 7)


def test_it_finds_what_an_exhaustive_search_finds_in_two_dimensions() -> None:
    space = {"x": Float(0, 1), "y": Float(0, 1)}
    _, proposal, best, rng = _proposal(space, lambda c: np.sin(7 * c["x"]) + (c["y"] - 0.3) ** 2)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), axis=-1).reshape(-1, 2)
    found = proposal.propose(best, rng)
    # a cell of the grid is 1/200 wide, and climbing goes on inside it
    assert proposal.value(found[:1])[0] >= proposal.value(grid).max()


def test_it_finds_the_best_of_all_discrete_choices() -> None:
    space = {"a": Int(0, 9), "b": Categorical(tuple("abcdef")), "c": Int(1, 8, log=True)}
    encoding, proposal, best, rng = _proposal(
        space, lambda c: (c["a"] - 6) ** 2 / 9 + "abcdef".index(c["b"]) % 3 + abs(c["c"] - 4)
    )
    everything = encoding.units(list(grid(space, 10)))
    found = proposal.propose(best, rng)
    assert proposal.value(found[:1])[0] >= proposal.value(everything).max() - 1e-9


def test_proposals_are_ordered_snapped_and_in_the_space() -> None:
    encoding, proposal, best, rng = _proposal(MIXED, _mixed, name="log_ei")
    found = proposal.propose(best, rng)
    assert (np.diff(proposal.value(found)) <= 1e-9).all()
    assert np.array_equal(encoding.snap(found), found)
    assert all(spaces.contains(MIXED, encoding.config(row)) for row in found[:50])


def test_the_first_proposal_is_near_the_optimum_of_a_simple_function() -> None:
    encoding, proposal, best, rng = _proposal(MIXED, _mixed, name="ei")
    config = encoding.config(proposal.propose(best, rng)[0])
    assert config["kind"] == "b"
    assert abs(config["x"] - 1) < 0.5
    assert config["n"] >= 5


def test_neighbours_differ_from_the_best_and_stay_inside() -> None:
    encoding = Encoding(MIXED)
    rng = np.random.default_rng(0)
    best = encoding.snap(rng.random((3, 4)))
    near = neighbours(encoding, best, rng)
    assert near.min() >= 0
    assert near.max() <= 1
    distance = np.abs(near[:, None] - best[None]).max(axis=2).min(axis=1)
    assert (distance > 0).all()
    assert np.median(distance[near[:, 1] == best[0, 1]]) < 0.3


def test_beside_holds_every_single_step() -> None:
    encoding = Encoding(MIXED)
    config = {"x": 0.5, "kind": "a", "n": 0}
    around, owner = beside(encoding, encoding.units([config]), np.array([1, 2]))
    found = {spaces.key(encoding.config(row)) for row in around}
    steps = [{"x": 0.5, "kind": k, "n": 0} for k in "ac"] + [{"x": 0.5, "kind": "a", "n": 1}]
    assert {spaces.key(step) for step in steps} <= found
    assert any(dict(key)["kind"] == "'b'" for key in found)
    assert set(owner.tolist()) == {0}
