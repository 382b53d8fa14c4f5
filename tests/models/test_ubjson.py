"""XGBoost's UBJSON says what its JSON says."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.models.ubjson import DEEPEST, loads

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(500, 4)).astype(np.float32)
OBJECTIVES = {
    "binary:logistic": {},
    "reg:squarederror": {},
    "multi:softprob": {"num_class": 3},
}


def same(ours, theirs, where=""):
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(theirs, list) and theirs and isinstance(theirs[0], dict | list | str):
        assert len(ours) == len(theirs), where
        for number, one in enumerate(theirs):
            same(ours[number], one, f"{where}/{number}")
    elif isinstance(theirs, list):
        assert np.array_equal(np.float32(ours), np.float32(theirs)), where
    else:
        assert ours == theirs, where


@pytest.fixture(scope="module", params=OBJECTIVES)
def booster(request):
    xgboost = pytest.importorskip("xgboost")
    y = {"reg:squarederror": X[:, 0] * 10, "multi:softprob": np.digitize(X[:, 0], [-0.5, 0.5])}
    how = {"objective": request.param, "max_depth": 4, **OBJECTIVES[request.param]}
    rows = xgboost.DMatrix(X, y.get(request.param, X[:, 0] > 0))
    return xgboost.train(how, rows, 10)


def test_models_are_read_as_their_json_is(booster):
    told = [bytes(booster.save_raw(kind)) for kind in ("ubj", "json")]
    same(loads(told[0]), json.loads(told[1]))


def test_arrays_have_the_type_that_the_file_tells(booster):
    held = loads(bytes(booster.save_raw("ubj")))["learner"]["gradient_booster"]["model"]
    tree = held["trees"][0]
    assert tree["split_conditions"].dtype == np.float32
    assert tree["left_children"].dtype == np.int32


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i\xff", -1), (b"U\xff", 255), (b"I\xff\x00", -256), (b"T", True), (b"Z", None),
        (b"[i\x01SU\x02hi]", [1, "hi"]), (b"[#i\x02FF", [False, False]), (b"{}", {}),
        (b"d?\x80\0\0", 1.0), (b"D?\xf0\0\0\0\0\0\0", 1.0),
    ],
)  # fmt: skip
def test_values_are_read(data, value):
    assert loads(data) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[$l#i\x02\0\0\0\x07", b"[$lT", b"Sd", b"i", b"x", b"Si\xff", b"[$l#i\xff",
     b"Si\x01\xff", b"[" * (DEEPEST + 2)],
)  # fmt: skip
def test_what_is_cut_or_other_is_an_error(data):
    with pytest.raises(ValueError, match="not UBJSON as XGBoost writes it"):
        loads(data)


@given(data=st.binary(max_size=40), head=st.sampled_from([b"", b"{i\x01a", b"[$d#", b"["]))
def test_any_bytes_are_a_value_or_an_error(data, head):
    with contextlib.suppress(ValueError):
        loads(head + data)
