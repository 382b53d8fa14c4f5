import pytest

from raymm.errors import NotFound
from raymm.serving.sources import FixedModels


def test_fixed_models(make_served):
    models = FixedModels(make_served("b"), make_served("a"))
    assert models.names() == ("a", "b")
    assert models.get("a").name == "a"
    with pytest.raises(NotFound, match="Models: a, b"):
        models.get("c")
    assert models.route("a", "any") is models.at("a", 1) is models.get("a")
    with pytest.raises(NotFound, match=r"version 2 of .* Served: 1"):
        models.at("a", 2)
    assert models.shadow("a") is None
