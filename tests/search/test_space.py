import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.errors import ConfigError
from raymm.search import space as spaces
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import made_spaces

TREE = {
    "solver": Categorical(("adam", "sgd", "none")),
    "schedule": Categorical(("flat", "cosine"), when={"solver": ("adam", "sgd")}),
    "momentum": Float(0.0, 1.0, when={"solver": ("sgd",), "schedule": ("cosine",)}),
    "layers": Int(1, 3),
}


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(space=made_spaces(), seed=st.integers(0, 2**31))
def test_samples_lie_in_the_space_and_survive_unit_coordinates(space, seed) -> None:
    config = spaces.sample(space, np.random.default_rng(seed))
    spaces.check(space)
    assert spaces.contains(space, config)
    vector = spaces.unit(space, config)
    assert vector.shape == (len(space),)
    for name, at in zip(space, vector, strict=True):
        assert math.isnan(at) != (name in config)
        assert math.isnan(at) or 0 <= at <= 1
    back = spaces.from_unit(space, vector)
    assert back.keys() == config.keys()
    for name, value in config.items():
        if isinstance(space[name], Float):
            # exp(log(x)) and the affine maps lose a few of 53 bits, scaled by the range
            assert back[name] == pytest.approx(value, rel=1e-9, abs=1e-12 * space[name].high)
        else:
            assert repr(back[name]) == repr(value)
    assert spaces.nearest(space, config) == config


def test_each_value_of_a_whole_number_is_drawn_alike() -> None:
    generator = np.random.default_rng(0)
    n = 6000
    drawn = [spaces.sample({"n": Int(1, 3)}, generator)["n"] for _ in range(n)]
    # binomial(n, 1/3): six standard deviations
    bound = 6 * math.sqrt(n * (1 / 3) * (2 / 3))
    assert all(abs(drawn.count(value) - n / 3) < bound for value in (1, 2, 3))


def test_a_logarithmic_parameter_is_drawn_evenly_by_its_logarithm() -> None:
    generator = np.random.default_rng(1)
    n = 4000
    space = {"x": Float(1e-4, 1.0, log=True)}
    below = sum(spaces.sample(space, generator)["x"] < 1e-2 for _ in range(n))
    assert abs(below - n / 2) < 6 * math.sqrt(n / 4)


def test_truth_is_not_one() -> None:
    space = {"flag": Categorical((True, 1, "1"))}
    assert [spaces.unit(space, {"flag": v})[0] for v in (True, 1, "1")] == pytest.approx(
        [1 / 6, 3 / 6, 5 / 6]
    )
    assert not spaces.contains({"n": Int(0, 1)}, {"n": True})


def test_is_active_asks_the_parents_too() -> None:
    assert spaces.is_active("momentum", TREE, {"solver": "sgd", "schedule": "cosine"})
    assert not spaces.is_active("momentum", TREE, {"solver": "sgd", "schedule": "flat"})
    assert not spaces.is_active("schedule", TREE, {"solver": "none"})
    chain = {
        "a": Categorical(("x", "y")),
        "b": Categorical(("u",), when={"a": ("x",)}),
        "c": Int(0, 1, when={"b": ("u",)}),
    }
    assert not spaces.is_active("c", chain, {"a": "y", "b": "u"})


@pytest.mark.parametrize(
    "config",
    [
        {"solver": "none", "layers": 4},
        {"solver": "none", "layers": 1.5},
        {"solver": "none"},
        {"solver": "none", "layers": 1, "alien": 0},
        {"solver": "none", "layers": 1, "momentum": 0.5},
        {"solver": "lbfgs", "layers": 1},
        {"solver": "sgd", "schedule": "cosine", "momentum": float("nan"), "layers": 1},
        {"solver": "none", "layers": "1"},
    ],
)
def test_contains_refuses(config) -> None:
    assert not spaces.contains(TREE, config)


def test_nearest_clips_fills_and_drops() -> None:
    given_config = {"solver": "sgd", "schedule": "cosine", "momentum": 9.0, "alien": 1}
    near = spaces.nearest(TREE, given_config)
    assert near == {"solver": "sgd", "schedule": "cosine", "momentum": 1.0, "layers": 2}
    assert spaces.nearest(TREE, {"solver": "lbfgs"}) is None
    assert spaces.nearest(TREE, {}) is None
    switched = {"on": Categorical((False, True)), "pair": Categorical((0, 1))}
    assert spaces.nearest(switched, {"pair": 1}) == {"on": False, "pair": 1}
    assert spaces.nearest(switched, {"on": True}) is None


def test_from_unit_refuses_what_is_not_a_coordinate() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        spaces.from_unit({"x": Float(0, 1)}, np.array([math.nan]))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one parameter"),
        ({"a": Int(0, 1, when={"sovler": ("x",)}), "solver": Categorical(("x",))}, "solver"),
        ({"a": Int(0, 1, when={"b": (1,)}), "b": Int(0, 1)}, "must be categorical"),
        ({"a": Int(0, 1, when={"b": ("z",)}), "b": Categorical(("x",))}, "can never be"),
        ({"a": Int(0, 1, when={"b": "x"}), "b": Categorical(("x",))}, "must list"),
        ({"a": Int(0, 1, when={"b": ()}), "b": Categorical(("x",))}, "must list"),
        ({"a": (0, 1)}, "must be a Float, Int or Categorical"),
        (
            {
                "a": Categorical(("x",), when={"b": ("x",)}),
                "b": Categorical(("x",), when={"a": ("x",)}),
            },
            "cycle",
        ),
    ],
)
def test_check_names_the_rule(space, message) -> None:
    with pytest.raises(ConfigError, match=message):
        spaces.check(space)


def test_order_puts_parents_first() -> None:
    space = {"late": Int(0, 1, when={"early": ("x",)}), "early": Categorical(("x", "y"))}
    assert spaces.order(space) == ("early", "late")
    assert list(spaces.sample(space, np.random.default_rng(0)))[-1] == "early"


def test_joined_families_are_one_conditional_space() -> None:
    own_spaces = {"svm": {"c": Float(0.1, 10, log=True)}, "net": TREE}
    joined = spaces.join(own_spaces)
    assert joined["family"] == Categorical(("svm", "net"))
    assert list(joined)[1:] == ["svm.c", *(f"net.{name}" for name in TREE)]
    generator = np.random.default_rng(0)
    families = set()
    for _ in range(60):
        config = spaces.sample(joined, generator)
        assert spaces.contains(joined, config)
        family, own = spaces.split(config)
        families.add(family)
        assert spaces.contains(own_spaces[family], own)
    assert families == {"svm", "net"}
    with pytest.raises(ConfigError, match="at least one model family"):
        spaces.join({})


def test_a_family_without_parameters_can_be_joined() -> None:
    joined = spaces.join({"constant": {}, "svm": {"c": Float(0, 1)}})
    assert spaces.contains(joined, {"family": "constant"})


def test_key_does_not_depend_on_order() -> None:
    assert spaces.key({"a": 1, "b": "x"}) == spaces.key({"b": "x", "a": 1})
    assert spaces.key({"a": 1}) != spaces.key({"a": "1"})


def test_read_and_parse(tmp_path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "learning_rate: {float: [1e-3, 0.1], log: true}\n"
        "layers: {int: [1, 4]}\n"
        "solver: {choice: [adam, sgd]}\n"
        "momentum: {float: [0, 1], when: {solver: [sgd]}}\n"
    )
    assert spaces.read(path) == {
        "learning_rate": Float(0.001, 0.1, log=True),
        "layers": Int(1, 4),
        "solver": Categorical(("adam", "sgd")),
        "momentum": Float(0.0, 1.0, when={"solver": ["sgd"]}),
    }
    path.write_text("momentum: {float: [0, 1], when: {solver: [sgd]}}\n")
    with pytest.raises(ConfigError, match=r'space\.yaml: "momentum" is conditional on "solver"'):
        spaces.read(path)


@pytest.mark.slow
def test_conditions_may_be_thousands_deep() -> None:
    space = {"p0": Categorical(("a", "b"))}
    for place in range(1, 2000):
        space[f"p{place}"] = Categorical(("a", "b"), when={f"p{place - 1}": ("a",)})
    spaces.check(space)
    config = dict.fromkeys(space, "a")
    assert spaces.is_active("p1999", space, config)
    assert not spaces.is_active("p1999", space, {**config, "p3": "b"})
    assert spaces.contains({"p0": space["p0"], "p1": space["p1"]}, {"p0": "a", "p1": "b"})


def test_names_are_text() -> None:
    with pytest.raises(ConfigError, match="must be text, but got 3"):
        spaces.check({3: Float(0, 1)})  # type: ignore[dict-item]
