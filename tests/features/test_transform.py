import numpy as np
import pytest

from raymm.artifacts import NO_TIME, Column
from raymm.features.pipeline import MANY_LEVELS, TRANSFORMS
from raymm.plugins import transforms

VALUES = {
    "number": np.array([1, np.nan, 3, 3, 2], dtype=np.float32),
    "boolean": np.array([1, np.nan, 0, 0, 1], dtype=np.float32),
    "category": np.array(["a", "", "b", "b", "a"], dtype=object),
    "datetime": np.array([0, NO_TIME, 86_400, 9, 10**9]),
    "text": np.array(["a b", "", "b!", "b 1", "a"], dtype=object),
}
CASES = [(e, kind, name) for e in TRANSFORMS for kind, name in TRANSFORMS[e].items()]
CASES += [(e, "category", name) for e, name in MANY_LEVELS.items()]


@pytest.mark.parametrize(("encoding", "kind", "name"), CASES)
def test_contract_holds_for_every_kind_in_every_encoding(run_graph, encoding, kind, name):
    values, y = VALUES[kind], np.array([0, 1, 0, 1, 0])
    part = transforms.get(name)(Column(name="c", kind=kind))
    before = values.copy()
    assert part.fit(values, y) is part
    for rows in (values, values[:1], values[:0]):
        result = part.transform(rows)
        assert result.dtype == np.float32
        assert result.shape == (len(rows), len(part.names))
        assert encoding == "ordinal" or not np.isnan(result).any()
    assert part.training(values, y).shape == (len(values), len(part.names))
    np.testing.assert_array_equal(values, before)
    graph = run_graph(part, values)
    assert graph.dtype == np.float32
    # Equal but for the last bits of a logarithm.
    np.testing.assert_allclose(graph, part.transform(values), rtol=1e-6, atol=1e-6)
