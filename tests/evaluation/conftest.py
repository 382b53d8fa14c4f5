from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, Schema


@pytest.fixture
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = 400
    return pd.DataFrame(
        {
            "size": [f"{value:.9f}" for value in generator.normal(size=rows)],
            "colour": generator.choice(["red", "blue", "rare"], rows, p=[0.6, 0.38, 0.02]),
            "day": pd.Series(pd.date_range("2024-01-01", periods=rows)).dt.strftime("%Y-%m-%d"),
            "level": generator.choice(["1", "2", "?", ""], rows),
            "note": ["words"] * rows,
            "y": generator.choice(["no", "yes"], rows),
        }
    )


@pytest.fixture
def schema() -> Schema:
    return Schema(
        target="y",
        task="binary",
        classes=("no", "yes"),
        columns=(
            Column(name="size", kind="number"),
            Column(name="colour", kind="category", categories=("red", "blue", "rare")),
            Column(name="day", kind="datetime", format="%Y-%m-%d"),
            Column(name="level", kind="number", missing=("?",)),
            Column(name="note", kind="text"),
            Column(name="y", kind="category", role="target"),
        ),
    )
