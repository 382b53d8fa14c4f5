"""Catalogues: names lead to classes, clashes are errors, built-ins are found by themselves."""

from __future__ import annotations

import pytest

from raymm import plugins
from raymm.errors import ConfigError
from raymm.plugins import Catalogue


def test_a_clash_of_names_is_an_error_that_names_both():
    colours: Catalogue[type] = Catalogue("colour", "raymm.errors")

    class Red: ...

    class Crimson: ...

    colours.register("red")(Red)
    with pytest.raises(ConfigError, match=r"red.*Red.*Crimson"):
        colours.register("red")(Crimson)


def test_filing_a_class_twice_is_no_clash():
    colours: Catalogue[type] = Catalogue("colour", "raymm.errors")

    class Red: ...

    assert colours.register("red")(colours.register("red")(Red)) is Red


@pytest.mark.parametrize(
    ("catalogue", "known"),
    [
        (plugins.families, {"lightgbm", "xgboost", "linear", "forest"}),
        (plugins.searchers, {"grid", "random", "tpe"}),
        (plugins.metrics, {"roc_auc", "accuracy", "rmse", "log_loss"}),
        (plugins.compressors, {"truncate"}),
        (plugins.monitors, {"drift"}),
        (plugins.explainers, {"shapley"}),
    ],
)
def test_built_in_parts_are_found(catalogue, known):
    assert known <= set(catalogue.names())
    for name in known:
        assert catalogue.get(name).name == name


def test_remarks_are_kept_with_the_name():
    colours: Catalogue[type] = Catalogue("colour", "raymm.errors")

    @colours.register("red", wave=700)
    class Red: ...

    assert colours.traits("red") == {"wave": 700}
