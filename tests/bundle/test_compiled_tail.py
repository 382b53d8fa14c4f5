from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from raymm.bundle.compiled_tail import Steps, Sums, Unknown

SUMS = np.array([[-2.0, 0.5, 3.0], [40.0, -40.0, 0.0]], np.float32)
HALF = np.array([0.5], np.float32)


def _steps():
    made = Steps()
    return made, made.trees(1), made.trees(2)


def test_each_ensemble_is_given_its_own_sums():
    steps, first, second = _steps()
    np.testing.assert_array_equal(steps.tail(first)(SUMS), SUMS[:, :1])
    np.testing.assert_array_equal(steps.tail(second)(SUMS), SUMS[:, 1:])


def test_a_single_ensemble_is_all_there_is():
    steps = Steps()
    whole = steps.trees(3)
    assert steps.tail(steps.add("Identity", [whole], {}))(SUMS) is SUMS


@pytest.mark.parametrize(
    ("operator", "given", "expected"),
    [
        ("Neg", [], lambda x: -x),
        ("Sigmoid", [], expit),
        ("Exp", [], np.exp),
        ("Log", [], np.log),
        ("Add", [HALF], lambda x: x + 0.5),
        ("Sub", [HALF], lambda x: x - 0.5),
        ("Mul", [HALF], lambda x: x * 0.5),
        ("Div", [np.zeros((1, 2), np.float32)], lambda x: x / 0),
        ("Clip", [np.array(-0.5, np.float32), HALF], lambda x: np.clip(x, -0.5, 0.5)),
        ("Softmax", [], lambda x: softmax(x, axis=1)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_operators_do_what_numpy_does(operator, given, expected):
    steps, _, second = _steps()
    made = steps.tail(steps.add(operator, [second, *given], {}))(SUMS)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(made, expected(SUMS[:, 1:]), rtol=1e-6)


def test_constants_may_stand_first():
    steps, first, _ = _steps()
    made = steps.add("Sub", [HALF, first], {})
    np.testing.assert_array_equal(steps.tail(made)(SUMS), 0.5 - SUMS[:, :1])


def test_sums_and_mixes():
    steps, first, second = _steps()
    scaled = steps.add("Mul", [second, HALF], {})
    made = steps.add("Sum", [scaled, first, HALF], {})
    np.testing.assert_array_equal(steps.tail(made)(SUMS), SUMS[:, 1:] * 0.5 + SUMS[:, :1] + 0.5)
    beside = steps.add("Concat", [second, first], {"axis": 1})
    assert beside.width == 3
    np.testing.assert_array_equal(steps.tail(beside)(SUMS), SUMS[:, [1, 2, 0]])


def test_both_sides_of_a_sigmoid_are_one_step():
    steps, first, second = _steps()
    negative = steps.add("Sigmoid", [steps.add("Neg", [first], {})], {})
    positive = steps.add("Sigmoid", [first], {})
    made = steps.add("Concat", [negative, positive], {"axis": 1})
    expected = expit(SUMS[:, :1] * np.array([[-1, 1]], np.float32))
    np.testing.assert_array_equal(steps.tail(made)(SUMS), expected)
    assert steps.steps[-1].given == (first,)
    swapped = steps.add("Concat", [positive, negative], {"axis": 1})
    np.testing.assert_array_equal(steps.tail(swapped)(SUMS), expected[:, ::-1])
    other = steps.add("Sigmoid", [second], {})
    wide = steps.add("Concat", [negative, other], {"axis": 1})
    np.testing.assert_array_equal(
        steps.tail(wide)(SUMS), np.hstack([expected[:, :1], expit(SUMS[:, 1:])])
    )


@pytest.mark.parametrize(
    ("operator", "given", "held"),
    [
        ("ReduceSum", [], {}),
        ("Softmax", [], {"axis": 0}),
        ("Concat", [HALF.reshape(1, 1)], {"axis": 1}),
        ("Concat", [], {"axis": 0}),
        ("Add", [np.zeros((2, 2), np.float32)], {}),
        ("Add", [np.zeros(3, np.float32)], {}),
        ("Add", [np.zeros(2, np.float64)], {}),
        ("Add", ["words"], {}),
        ("Clip", [HALF], {}),
        ("Neg", [HALF], {}),
    ],
)
def test_others_are_not_known(operator, given, held):
    steps, _, second = _steps()
    with pytest.raises(Unknown):
        steps.add(operator, [second, *given], held)


def test_identity_is_of_sums_alone():
    with pytest.raises(Unknown):
        Steps().add("Identity", [HALF], {})
    assert Steps().add("Identity", [Sums(0, 1)], {}) == Sums(0, 1)


def test_numbers_beside_themselves_again_and_again_are_not_known():
    steps, made, _ = _steps()
    for _ in range(15):
        made = steps.add("Concat", [made, made], {"axis": 1})
    with pytest.raises(Unknown):
        steps.add("Concat", [made, made], {"axis": 1})
