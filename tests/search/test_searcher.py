import numpy as np
import pytest

from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.space import Float


class Constant(Searcher):
    def suggest(self, count):
        return [Suggestion(str(n), {"x": 0.5}) for n in range(count)]

    def observe(self, results):
        pass


def test_two_methods_make_a_searcher() -> None:
    made = Constant({"x": Float(0, 1)}, mode="minimize", generator=np.random.default_rng(0))
    made.expect(made.suggest(2))
    assert [s.id for s in made.suggest(2)] == ["0", "1"]
    with pytest.raises(TypeError, match="abstract"):
        Searcher({}, mode="minimize", generator=np.random.default_rng(0))


def test_suggestions_and_results_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Suggestion("a", {}).id = "b"
    with pytest.raises(AttributeError):
        Result("a", {}, None).value = 1.0
