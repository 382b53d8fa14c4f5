"""Doubtful labels are told of by the rows' numbers in the table, and trained on all the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raymm import labels, lifecycle
from raymm.artifacts import Doubt, Doubts, Recipe, Table, as_record, from_record
from raymm.bundle.pipeline import Bench
from raymm.config import parse
from raymm.data import schema, split, statistics
from raymm.registry.versions import Registry
from raymm.sections import DataConfig


def flowers(rows=600, wrong=0, seed=0):
    """Return a table of three kinds that can be told, and the rows (from 0) labelled wrong."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, rows)
    frame = pd.DataFrame({"long": random.normal(5.0 * kind), "wide": random.normal(-5.0 * kind)})
    frame["plot"] = [f"p{number % 40}" for number in range(rows)]
    bad = random.choice(rows, wrong, replace=False)
    kind[bad] = (kind[bad] + random.integers(1, 3, wrong)) % 3
    frame["kind"] = np.array(["aster", "bellis", "calla"])[kind]
    return frame, set(bad.tolist())


def dataset_of(frame, target="kind", **options):
    table = Table(frame=frame, source="made here", sha256="0" * 64)
    config = DataConfig(source="made", target=target, **options)
    columns = schema.infer(table, statistics.describe(table), config)
    return split.split(table, columns, config, seed=0)


def everything(dataset):
    return np.arange(len(dataset.y))


@pytest.mark.slow
def test_planted_labels_are_told_with_their_rows_in_the_table():
    frame, wrong = flowers(wrong=30)
    frame.loc[frame.index[:40:2], "kind"] = ""  # dropped, so that later rows move up
    wrong -= set(range(0, 40, 2))
    dataset = dataset_of(frame)
    found = labels.looked_at(dataset, everything(dataset), seed=0)
    told = {one.row - 1 for one in found.worst}
    assert (found.looked, found.found) == (580, len(told))
    assert len(told & wrong) >= 0.8 * len(told)
    assert len(told & wrong) >= 0.6 * len(wrong)
    assert all(frame["kind"].iloc[one.row - 1] == one.given != one.likelier for one in found.worst)
    again = labels.looked_at(dataset, everything(dataset), seed=0)
    assert again == found
    (anomaly,) = labels.anomalies(found, dataset.schema, labels.LEFT)
    first = found.worst[0]
    assert (anomaly.rule, anomaly.column, anomaly.severity) == ("label noise", "kind", "warning")
    assert f"row {first.row} ({first.given!r}, likelier {first.likelier!r})" in anomaly.observed
    assert "of the 580 looked at" in anomaly.observed


@pytest.mark.slow
def test_nothing_is_told_of_right_labels():
    dataset = dataset_of(flowers()[0])
    found = labels.looked_at(dataset, everything(dataset), seed=0)
    assert found.found <= 3
    assert labels.anomalies(dataclasses.replace(found, found=0), dataset.schema, "") == ()
    assert labels.anomalies(None, dataset.schema, "") == ()


def test_labels_of_a_group_do_not_vouch_for_each_other(monkeypatch):
    dataset = dataset_of(flowers(rows=200)[0], group="plot")
    plots, seen = dataset.frame["plot"].to_numpy(), []

    class Looking(Bench):
        def __init__(self, dataset, rows):
            seen.append(set(plots[rows]))
            super().__init__(dataset, rows)

    monkeypatch.setattr(labels, "Bench", Looking)
    labels.looked_at(dataset, everything(dataset), seed=0)
    assert len(seen) == labels.PARTS
    assert set.intersection(*seen) == set()  # each plot is left out once, and whole


def test_slipped_values_are_told():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"size": random.uniform(20, 200, 1000), "age": random.uniform(0, 80, 1000)}
    )
    price = (3000 * frame["size"] * np.exp(0.1 * random.normal(size=1000))).round()
    bad = random.choice(1000, 8, replace=False)
    price[bad] *= 10
    dataset = dataset_of(frame.assign(price=price), "price")
    found = labels.looked_at(dataset, everything(dataset), seed=0)
    told = {one.row - 1 for one in found.worst}
    assert told <= set(bad.tolist())
    assert len(told) >= 6
    assert found.worst[0].given == f"{price[found.worst[0].row - 1]:.0f}"
    (anomaly,) = labels.anomalies(found, dataset.schema, labels.LEFT)
    assert "predicted" in anomaly.observed


def test_texts_are_looked_at_and_very_many_classes_are_not():
    random = np.random.default_rng(0)
    words = [["win", "cash", "prize", "free"], ["see", "you", "home", "dinner"]]
    kind = random.integers(0, 2, 300)
    text = [" ".join(random.choice(words[k], 6)) + f" {n} of them" for n, k in enumerate(kind)]
    shown = kind.copy()
    shown[[5, 90, 200]] = 1 - kind[[5, 90, 200]]
    frame = pd.DataFrame({"text": text, "spam": np.where(shown == 0, "yes", "no")})
    dataset = dataset_of(frame, "spam")
    assert [column.kind for column in dataset.schema.features] == ["text"]
    found = labels.looked_at(dataset, everything(dataset), seed=0)
    assert {6, 91, 201} == {one.row for one in found.worst}
    many = tuple(map(str, range(labels.CLASSES + 1)))
    crowded = dataclasses.replace(dataset.schema, task="multiclass", classes=many)
    whole = dataclasses.replace(dataset, schema=crowded)
    assert labels.looked_at(whole, everything(dataset), seed=0) is None


def test_what_models_predict_of_all_rows_is_taken_and_a_failure_tells_nothing(monkeypatch):
    dataset = dataset_of(flowers(wrong=0)[0])
    rows = everything(dataset)
    monkeypatch.setattr(labels, "looked_at", lambda *_, **__: pytest.fail("quick models"))
    # A little more or less, so that the wrong one can be the least likely of all.
    sure = np.full((len(rows), 3), 0.005) + 1e-3 * np.random.default_rng(0).random((600, 3))
    sure[rows, dataset.y] = 0.99
    sure[17, dataset.y[17]], sure[17, (dataset.y[17] + 1) % 3] = 0.001, 0.99
    made = labels.of_rows(dataset, rows, seed=0, known=(rows, sure))
    assert [one.row for one in made.worst] == [18]

    def failing(*_, **__):
        raise ValueError("of a library")

    monkeypatch.setattr(labels, "looked_at", failing)
    assert labels.of_rows(dataset, rows, seed=0, known=(rows[:9], sure[:9])) is None


@pytest.mark.slow
def test_a_run_tells_of_doubtful_labels_and_lists_them(searching_here, tmp_path):
    frame, wrong = flowers(rows=800, wrong=40)
    source = tmp_path / "flowers.csv"
    frame.to_csv(source, index=False)
    raw = {
        "data": {"source": str(source), "target": "kind"},
        "search": {"families": ["linear"], "trials": 2, "parallel": 1},
        "compression": {"techniques": ["prune"]},
        "storage": str(tmp_path / "home"),
    }
    run = lifecycle.run(parse(raw))
    found = run.recipe.doubts
    told = {one.row - 1 for one in found.worst}
    assert found.looked == len(run.dataset.train)
    assert told <= set(run.dataset.train.tolist())
    wrong &= set(run.dataset.train.tolist())
    assert len(told & wrong) >= 0.8 * len(told)
    assert len(told & wrong) >= 0.6 * len(wrong)
    (anomaly,) = (one for one in run.anomalies if one.rule == "label noise")
    kept = json.loads(Registry(raw["storage"]).part(run.version, "anomalies.json"))
    assert as_record(anomaly) in kept
    page = Path(run.report).read_text(encoding="utf-8")
    assert "most doubtful of" in page
    listed = pd.read_csv(Path(run.report).parent / "doubtful_labels.csv")
    assert listed["row"].tolist() == [one.row for one in found.worst]
    assert lifecycle.run(parse(raw)).anomalies == run.anomalies


def test_recipes_written_before_labels_were_looked_at_are_read(finished):
    record = as_record(finished.runs[0].recipe)
    assert from_record(Recipe, record) == finished.runs[0].recipe
    del record["doubts"]
    assert from_record(Recipe, record).doubts is None
    some = Doubts(looked=1, found=1, worst=(Doubt(row=1, given="a", likelier="b", measure=0.0),))
    whole = dataclasses.replace(finished.runs[0].recipe, doubts=some)
    assert whole.deciding() == finished.runs[0].recipe.deciding()
    assert from_record(Recipe, json.loads(json.dumps(as_record(whole)))) == whole
