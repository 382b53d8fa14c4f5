"""What every model from elsewhere has to say."""

from __future__ import annotations

import pytest

from raymm.foreign.model import Foreign


def test_a_model_needs_all_that_is_asked_of_it():
    class Half(Foreign):
        def graph(self, schema):
            return b""

    with pytest.raises(TypeError, match="predict"):
        Half()


def test_most_models_say_all_by_themselves():
    class Plain(Foreign):
        def graph(self, schema):
            return b""

        def predict(self, x, schema):
            return x

        def require_same(self, bundle, dataset):
            return None

    assert Plain().settle([], None) == ""
    assert Plain().compressible(b"graph", None) == (b"graph", ())
