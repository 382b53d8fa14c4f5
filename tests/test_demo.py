"""The worked example's own parts; tests/end_to_end runs the whole of it."""

from __future__ import annotations

import socket

import pandas as pd

from raymm import demo


def test_the_tables_ship_with_scikit_learn(tmp_path):
    written = demo.tables(tmp_path)
    shapes = {name: pd.read_csv(path).shape for name, (path, _) in written.items()}
    assert shapes == {"demo-iris": (150, 5), "demo-breast-cancer": (569, 31)}
    for path, target in written.values():
        assert target in pd.read_csv(path, nrows=1)


def test_a_free_port_can_be_bound():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", demo.free_port()))
