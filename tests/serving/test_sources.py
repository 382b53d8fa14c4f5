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


def test_what_never_changes_has_a_champion_and_no_history(make_served):
    models = FixedModels(make_served("a", number=7))
    told = models.reports()["a"]
    assert (told["champion"], told["canary"], told["shadow"]) == (7, None, None)
    models.get("a").tally.answered(0.5)
    assert models.reports()["a"]["counts"]["7"]["requests"] == 1
    assert models.history("a") == {"versions": [], "changes": []}
