from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from raymm.artifacts import Dataset, Schema, Statistics, Table
from raymm.data import ingest, schema, split, statistics
from raymm.sections import DataConfig

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TARGETS = {
    "adult": "income",
    "bike_sharing_hour": "cnt",
    "california_housing": "median_house_value",
    "elec2": "class",
    "iris": "species",
    "letter": "class",
    "sms_spam": "label",
    "telco_churn": "Churn",
}


class Made:
    """A table taken as far as a schema, from a file or from columns."""

    def __init__(self, table: Table, config: DataConfig) -> None:
        self.table = table
        self.config = config
        self.statistics: Statistics = statistics.describe(table)
        self.schema: Schema = schema.infer(table, self.statistics, config)

    def dataset(self, seed: int = 0) -> Dataset:
        return split.split(self.table, self.schema, self.config, seed=seed)


@pytest.fixture
def made() -> Callable[..., Made]:
    def make(columns: dict[str, object], target: str = "y", **options: object) -> Made:
        frame = pd.DataFrame(columns)
        table = Table(frame=frame, source="memory", sha256=ingest.content_hash(frame))
        return Made(table, DataConfig(source="memory", target=target, **options))

    return make


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Made]:
    """Real tables kept beside the repository; tests that want them are skipped without."""
    kept: dict[str, Made] = {}

    def make(name: str) -> Made:
        path = SHARED / f"{name}.csv"
        if not path.exists():
            pytest.skip(f"{path} is absent: this check needs the shared tables")
        if name not in kept:
            config = DataConfig(source=str(path), target=TARGETS[name])
            kept[name] = Made(ingest.read(str(path)), config)
        return kept[name]

    return make
