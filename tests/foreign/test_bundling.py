"""Columns and classes of a table find those of a model, and the chosen form is written."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.data import ingest
from raymm.errors import BundleError, ConfigError, DataError, ParityError
from raymm.foreign import bundling
from raymm.foreign.bundling import compress, dataset_of
from raymm.foreign.proof import Parts
from raymm.foreign.reading import read
from raymm.prediction import load


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".txt", ".json"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_smaller_form_keeps_the_loss(make, task, suffix):
    made = make(task, suffix)
    done = compress(str(made.path), str(made.csv), "y", max_loss=0.2, techniques=["truncate"])
    whole, *others = done.frontier.candidates
    (chosen,) = [one for one in done.frontier.candidates if one.chosen]
    assert others
    assert chosen.bytes < whole.bytes
    assert chosen.bytes == len(done.bundle.to_bytes())
    assert len(done.full.to_bytes()) == whole.bytes
    again = compress(str(made.path), str(made.csv), "y", max_loss=0.2, techniques=["truncate"])
    assert again.bundle.to_bytes() == done.bundle.to_bytes()
    read_back = Bundle.from_bytes(done.bundle.to_bytes())
    tensors = {
        column.name: made.holdout[column.name].to_numpy(np.float32)
        for column in read_back.schema.features
    }
    assert np.isfinite(Runner(read_back).predict(tensors)).all()


def test_what_was_written_predicts_tables(make, tmp_path):
    made = make("regression")
    path = tmp_path / "small.raymm"
    path.write_bytes(compress(str(made.path), str(made.csv), "y", techniques=[]).bundle.to_bytes())
    expected = made.booster.predict(made.holdout.drop(columns="y"))
    assert np.allclose(load(path).predict(made.holdout), expected, rtol=1e-4, atol=1e-4)


def test_halves_are_stratified_and_share_no_row(make):
    made = make("binary")
    data, _ = dataset_of(read(str(made.path)), ingest.from_frame(made.holdout), "y", seed=1)
    assert not set(data.train) & set(data.test)
    assert len(data.train) + len(data.test) == len(made.holdout)
    shares = [data.y[rows].mean() for rows in (data.train, data.test)]
    assert abs(shares[0] - shares[1]) < 0.01


def test_columns_are_found_by_name_in_any_order(make):
    made = make("binary")
    shuffled = made.holdout[["y", "e", "d", "c", "a b"]].assign(more=1.5)
    data, notes = dataset_of(read(str(made.path)), ingest.from_frame(shuffled), "y", seed=0)
    assert [one.name for one in data.schema.features] == ["a b", "c", "d", "e"]
    assert "more" in notes[0]


def test_missing_columns_are_named(make):
    made = make("binary")
    with pytest.raises(DataError, match=r"lacks 2 of the model's 4 columns: a_b, d\. It has: c, e"):
        dataset_of(
            read(str(made.path)),
            ingest.from_frame(made.holdout.drop(columns=["a b", "d"])),
            "y",
            seed=0,
        )


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (1, "1 of 400 rows lacks a target and is left out"),
        (7, "7 of 400 rows lack a target and are left out"),
    ],
)
def test_rows_without_a_target_are_counted(make, left, words):
    made = make("binary")
    foreign = read(str(made.path))
    told = made.holdout.assign(y=made.holdout["y"].where(made.holdout.index >= left))
    data, notes = dataset_of(foreign, ingest.from_frame(told), "y", seed=0)
    assert len(data.y) == len(told) - left
    assert words in notes
    _, notes = dataset_of(foreign, ingest.from_frame(made.holdout), "y", seed=0)
    assert not any("a target" in note for note in notes)


@pytest.mark.parametrize(
    ("fit", "judge", "proof", "words"),
    [
        (15, 15, 0, "30 rows are too few .* 15, which can hardly decide: errors in 18% .* 400"),
        (200, 199, 0, "hardly decide: errors in 1% of all rows"),
        (200, 200, 0, r"400 rows are too few [^.]*\.$"),
        (800, 1000, 200, None),
    ],
)
def test_few_rows_are_said_to_decide_little(fit, judge, proof, words):
    parts = Parts(fit=np.arange(fit), judge=np.arange(judge), proof=np.arange(proof))
    notes = bundling._unproven(parts)
    assert len(notes) == (words is not None)
    assert all(re.search(words, note) for note in notes)


def test_models_without_names_take_the_tables_order(make):
    made = make("binary", ".json", unnamed=True)
    foreign = read(str(made.path))
    data, notes = dataset_of(foreign, ingest.from_frame(made.holdout), "y", seed=0)
    assert [one.name for one in data.schema.features] == ["a b", "c", "d", "e"]
    assert "in order" in notes[0]
    with pytest.raises(DataError, match="4 columns without names, but the table has 3"):
        dataset_of(foreign, ingest.from_frame(made.holdout.drop(columns="c")), "y", seed=0)


def test_words_are_not_numbers(make):
    made = make("binary")
    wordy = made.holdout.assign(c="red")
    with pytest.raises(DataError, match=r"the model reads numbers.*c: 400 of 400"):
        dataset_of(read(str(made.path)), ingest.from_frame(wordy), "y", seed=0)


def test_another_target_is_refused(make):
    made = make("multiclass")
    two = made.holdout.assign(y=made.holdout["y"] > 0)
    with pytest.raises(DataError, match="tells 3 classes apart"):
        dataset_of(read(str(made.path)), ingest.from_frame(two), "y", seed=0)


@pytest.mark.parametrize(
    ("task", "holds", "words"),
    [
        ("binary", np.arange(400) / 7, 'tells 2 classes apart, but the target "y" has 400'),
        ("binary", np.arange(400) % 5, "has 5 classes: 0, 1, 2, 3, 4"),
        ("multiclass", [f"word{n}" for n in range(400)], "tells 3 classes apart"),
        ("regression", ["up", "down"] * 200, "predicts numbers, but the target"),
    ],
)
def test_targets_that_do_not_suit_are_told_with_what_this_command_takes(make, task, holds, words):
    made = make(task)
    other = ingest.from_frame(made.holdout.assign(y=holds))
    with pytest.raises(DataError) as refused:
        dataset_of(read(str(made.path)), other, "y", seed=0)
    said = str(refused.value)
    assert words in said
    assert said.endswith("that it was trained for with --target.")
    assert "data.task" not in said


@pytest.mark.slow
def test_a_model_no_better_than_a_constant_is_doubted(make):
    made = make("regression")
    odd = made.holdout.assign(y=np.random.default_rng(0).permutation(made.holdout["y"]))
    path = made.path.with_name("odd.csv")
    odd.to_csv(path, index=False)
    done = compress(str(made.path), str(path), "y", techniques=[])
    assert any("no better than a constant" in note for note in done.notes)


@pytest.mark.slow
def test_numbers_that_a_graph_cannot_tell_apart_are_told_of(make):
    made = make("regression")
    name = made.holdout.columns[0]
    days = 20_240_000 + np.arange(len(made.holdout))
    path = made.path.with_name("days.csv")
    made.holdout.assign(**{name: days}).to_csv(path, index=False)
    done = compress(str(made.path), str(path), "y", techniques=[])
    assert any(note.startswith(f"{name}: 50%") for note in done.notes)
    plain = compress(str(made.path), str(made.csv), "y", techniques=[])
    assert not any("rounded" in note for note in plain.notes)


@pytest.mark.slow
def test_a_word_among_numbers_that_is_taken_for_missing_is_told(make):
    made = make("regression")
    name = made.holdout.columns[0]
    values = made.holdout[name].astype(object)
    values.iloc[:9] = "oops"
    values.iloc[9:12] = "n/a"
    path = made.path.with_name("words.csv")
    made.holdout.assign(**{name: values}).to_csv(path, index=False)
    done = compress(str(made.path), str(path), "y", techniques=[])
    (told,) = (note for note in done.notes if "taken for missing" in note)
    assert told.startswith(f"{name}: 'oops' is taken for missing")


@pytest.mark.slow
def test_who_waits_is_told_what_goes_on(make, tmp_path):
    made, seen = make("binary"), []
    path = tmp_path / "more.csv"
    pd.concat([made.holdout] * (2000 // len(made.holdout) + 1)).to_csv(path, index=False)
    for data in (made.csv, path):
        compress(str(made.path), str(data), "y", techniques=[], notify=seen.append)
    stages = [event.stage for event in seen]
    assert stages == ["data", "compress", "data", "compress", "prove"]
    assert all(event.message for event in seen)


@pytest.mark.slow
def test_time_that_is_over_leaves_forms_out(make):
    made = make("binary")
    told = str(made.path), str(made.csv), "y"
    done = compress(*told, techniques=["truncate"], seconds=1e-9)
    assert [one.technique for one in done.frontier.candidates] == ["none"]
    assert "truncate" in done.frontier.left_out[0]


def test_the_form_that_is_written_adds_up(make, monkeypatch):
    made = make("binary")
    told = str(made.path), str(made.csv), "y"

    def refused(bundle, tensors):
        assert len(tensors["c"]) >= 500
        raise ParityError("the compressed trees are others")

    monkeypatch.setattr(bundling, "require_agreement", refused)
    with pytest.raises(ParityError, match="are others"):
        compress(*told, techniques=[])


@pytest.mark.long
def test_forms_with_worse_probabilities_are_not_chosen_for_their_accuracy(make, monkeypatch):
    """As the proof of a run refuses them: the log loss and the calibration count besides."""
    given = make("multiclass")
    made = {}

    def foretold(pair, *, task, metric, max_loss):
        made["asked"] = (task, metric.name, max_loss, len(pair.truth))
        return "the log_loss grows"

    monkeypatch.setattr(bundling, "foretold", foretold)
    names = ["truncate", "quantize"]
    done = compress(str(given.path), str(given.csv), "y", max_loss=0.1, techniques=names)
    assert made["asked"] == ("multiclass", "accuracy", 0.1, done.frontier.rows)
    assert next(one for one in done.frontier.candidates if one.chosen).technique == "none"
    assert any("the log_loss grows" in one for one in done.frontier.left_out)


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_a_task_that_the_file_contradicts_is_refused(make, suffix):
    made = make("binary", suffix)
    with pytest.raises(ConfigError, match=r"--task .* regression, .* trained for binary\. Leave"):
        compress(str(made.path), "never.csv", "y", task="regression")
    with pytest.raises(DataError, match=r"never\.csv"):
        compress(str(made.path), "never.csv", "y", task="binary")


def test_a_task_that_no_file_tells_is_asked_for(make, tmp_path):
    from onnx import TensorProto, helper, numpy_helper

    x = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    held = [
        numpy_helper.from_array(np.float32([[1.0], [0.5]]), "w"),
        numpy_helper.from_array(np.float32([3.0]), "b"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("rows", 2), ("raw", 1))
    ]
    node = helper.make_node("Gemm", ["rows", "w", "b"], ["raw"])
    graph = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:], held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "ratings.onnx"
    path.write_bytes(graph.SerializeToString())
    ratings = np.clip(np.round(x @ [1.0, 0.5] + 3), 1, 5).astype(int)
    rows = pd.DataFrame(x, columns=["a", "b"]).assign(stars=ratings)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    given = str(path), str(tmp_path / "rows.csv"), "stars"
    with pytest.raises(BundleError, match="--task regression"):
        compress(*given)
    done = compress(*given, task="regression", techniques=["prune_linear"])
    assert done.full.schema.task == "regression"
    rows[["stars"]].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="no column beside stars"):
        compress(*given, task="regression")
