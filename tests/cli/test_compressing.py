"""raymm compress: frontiers of versions, and model files from elsewhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from raymm.bundle.packed import Bundle
from raymm.cli.compressing import _controls, _draw, _shrunk, _table


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with a LightGBM file and a holdout."""
    import lightgbm

    folder = tmp_path_factory.mktemp("outside")
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(600, 3)), columns=["a", "b", "c"])
    frame["y"] = np.where(frame["a"] + frame["b"] + 0.3 * random.normal(size=600) > 0, "up", "down")
    how = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    x, y = frame.drop(columns="y")[:300], (frame["y"] == "up")[:300]
    lightgbm.train(how, lightgbm.Dataset(x, y), 30).save_model(folder / "model.txt")
    frame[300:].to_csv(folder / "holdout.csv", index=False)
    return folder


@pytest.mark.slow
def test_the_champions_frontier_is_shown(raymm, finished, home):
    told = json.loads(raymm("compress", "loans", "--json").out)
    assert (told["name"], told["version"]) == ("loans", 2)
    run = finished.runs[1]
    assert len(told["frontier"]["candidates"]) == len(run.frontier.candidates)
    shown = raymm("compress", "loans@2")
    assert shown.code == 0
    for words in ("loans version 2", "technique", "none", "interval", "memory", "--pick NUMBER"):
        assert words in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lones"], 6, 'Did you mean "loans"'),
        (["loans@9"], 6, "no version 9"),
        (["loans@x"], 2, "NAME@NUMBER"),
        (["loans@²"], 2, "NAME@NUMBER"),
        (["loans", "--max-loss", "0.1"], 2, "--max-loss is for a model file"),
        (["loans", "--picture", "x.png"], 2, "Give a name that ends in .svg, not x.png"),
        (["loans", "--pick", "99"], 2, "--pick must be a number from 1"),
        (["loans", "--data", "x.csv", "--pick", "2"], 2, "are for a registered model"),
    ],
)
def test_mistakes_are_told(raymm, home, arguments, code, words):
    done = raymm("compress", *arguments)
    assert (done.code, words in done.err) == (code, True), done.err


@pytest.mark.slow
def test_a_file_becomes_a_bundle(raymm, outside, tmp_path):
    where = [outside / "model.txt", "--data", outside / "holdout.csv", "--target", "y"]
    where += ["--max-loss", "0.05", "--techniques", "truncate"]
    done = raymm("compress", *where, "-o", tmp_path / "small.raymm", "--json")
    told = json.loads(done.out)
    (chosen,) = [one for one in told["frontier"]["candidates"] if one["chosen"]]
    data = (tmp_path / "small.raymm").read_bytes()
    assert told["output_bytes"] == chosen["bytes"] == len(data) < told["file_bytes"]
    assert Bundle.from_bytes(data).schema.classes == ("down", "up")
    assert done.err == ""
    shown = raymm("compress", *where, "-o", tmp_path / "again.raymm")
    begun = [line.partition("] ")[2] for line in shown.err.splitlines()]
    assert begun[0].startswith("data  reading ")
    assert begun[1].startswith("compress  measuring forms on 150 rows")
    assert "times smaller than" in shown.out
    assert (tmp_path / "again.raymm").read_bytes() == data


@pytest.mark.slow
def test_a_file_becomes_a_plain_graph(raymm, outside, tmp_path):
    import onnxruntime

    where = [outside / "model.txt", "--data", outside / "holdout.csv", "--target", "y"]
    assert (
        raymm("compress", *where, "-o", tmp_path / "m.onnx", "--techniques", "truncate").code == 0
    )
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    rows = pd.read_csv(outside / "holdout.csv")
    feed = {name: rows[[name]].to_numpy(np.float32) for name in "abc"}
    labels = session.run(["prediction"], feed)[0]
    assert np.mean(labels.ravel() == rows["y"].to_numpy()) > 0.8


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"--target": None}, 2, "Name it with --target"),
        ({"--target": "z"}, 3, '"z"'),
        ({"--data": "nowhere.csv"}, 3, "nowhere.csv"),
        ({"-o": "no/such/folder/m.raymm"}, 2, "is not a folder"),
        ({"-o": "m.bin"}, 2, "a bundle ends in .raymm"),
        ({"-o": "m"}, 2, "Give such a name with -o"),
        ({"--picture": "m.png"}, 2, "ends in .svg, not m.png"),
        ({"--metric": "rmse"}, 2, "does not suit"),
        ({"--techniques": "trunkate"}, 2, 'Did you mean "truncate"'),
        ({"--seed": "-1"}, 2, "--seed"),
        ({"--max-loss": "-1"}, 2, "--max-loss"),
        ({"--max-loss": "nan"}, 2, "--max-loss"),
        ({"--time": "soon"}, 2, "--time"),
    ],
)
def test_what_is_missing_of_a_file_is_told(raymm, outside, tmp_path, change, code, words):
    given = {"--data": outside / "holdout.csv", "--target": "y", "-o": tmp_path / "m.raymm"}
    given |= change
    words_given = [part for pair in given.items() if pair[1] is not None for part in pair]
    done = raymm("compress", outside / "model.txt", *words_given)
    assert (done.code, words in done.err) == (code, True), done.err
    assert not (tmp_path / "m.raymm").exists()


@pytest.mark.parametrize("name", ["model.txt", "holdout.csv"])
def test_what_is_read_is_not_written_over(raymm, outside, name):
    before = (outside / name).read_bytes()
    where = ["--data", outside / "holdout.csv", "--target", "y", "-o", outside / name]
    done = raymm("compress", outside / "model.txt", *where)
    assert (done.code, "is what is read" in done.err) == (2, True), done.err
    assert (outside / name).read_bytes() == before


def test_a_file_alone_needs_rows(raymm, outside):
    done = raymm("compress", outside / "model.txt")
    assert (done.code, "--data and --target" in done.err) == (2, True)


def test_an_unknown_technique_is_refused_before_anything_is_read(raymm, outside):
    done = raymm(
        "compress", outside / "model.txt", "--data", "nowhere.csv", "--target", "y",
        "--techniques", "prune,trunkate",
    )  # fmt: skip
    assert (done.code, 'Did you mean "truncate"' in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    "arguments",
    [["compress"], ["compress", "--data", "x.csv", "--target", "y"], ["report"], ["explain"]],
)
def test_a_bundle_file_is_no_models_name(raymm, home, tmp_path, arguments):
    path = tmp_path / "some.raymm"
    path.write_bytes(b"")
    done = raymm(arguments[0], path, *arguments[1:])
    assert done.code == 2
    assert f"{path} is a bundle file, and this command takes the name of the model" in done.err


@pytest.mark.slow
def test_a_picked_point_is_a_version(raymm, finished, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    shown = json.loads(raymm("compress", "loans", "--storage", home, "--json").out)["frontier"]
    place = next(n for n, one in enumerate(shown["candidates"], 1) if not one["chosen"])
    done = raymm("compress", "loans", "--pick", place, "--storage", home, "--json")
    told = json.loads(done.out)
    assert told["version"] == 3
    assert done.code == (0 if told["blessed"] else 5)
    assert told["technique"] == shown["candidates"][place - 1]["technique"]
    chosen = next(n for n, one in enumerate(shown["candidates"], 1) if one["chosen"])
    said = raymm("compress", "loans@2", "--pick", chosen, "--storage", home).out
    assert "loans version 2" in said
    assert "blessed, the champion already" in said
    assert "raymm promote" not in said


def test_a_picture_of_the_points_is_written(tmp_path):
    from raymm.artifacts import Candidate, Frontier, Score
    from raymm.errors import ConfigError

    score = Score(metric="roc_auc", value=0.0, low=0.0, high=0.0)
    whole = Candidate(
        technique="none", parameters={}, score=0.9, loss=score, bytes=9, row_microseconds=1.0
    )
    found = Frontier(candidates=(whole,), metric="roc_auc", max_loss=0.1, rows=1)
    _draw(found, None)
    _draw(found, str(tmp_path / "made.svg"))
    assert "as it was" in (tmp_path / "made.svg").read_text()
    with pytest.raises(ConfigError, match="cannot be written"):
        _draw(found, str(tmp_path / "none" / "made.svg"))


def form(technique, parameters, *, chosen=False, gain=None, **more):
    from raymm.artifacts import Candidate, Score

    loss = Score(metric="balanced_accuracy", value=-0.000351234, low=-0.00098, high=0.00078)
    return Candidate(
        technique=technique,
        parameters=parameters,
        score=0.991196,
        loss=loss,
        bytes=123_456,
        row_microseconds=123.46,
        chosen=chosen,
        over_control=None if gain is None else replace(loss, value=0.01, low=gain, high=0.02),
        **more,
    )


@pytest.fixture
def forms():
    from raymm.artifacts import Frontier

    measured = {"thousand_microseconds": 12_345.0, "heap_bytes": 274_000_000}
    bits = {"prune.size": 0.8409, "quantize.bits": 14, "quantize.thresholds": 4095}
    students = [
        form("distill", {"units": 32}, gain=0.004, **measured),
        form("distill+quantize_network", {"quantize_network.bits": 8}, gain=0.004, **measured),
        form("distill", {"units": 12}, gain=-0.001, **measured),
    ]
    made = (
        form("none", {}, **measured),
        form("prune+quantize", bits, chosen=True, **measured),
        form("quantize_network", {"bits": 8, "range": "rows"}),
        *students,
    )
    return Frontier(candidates=made, metric="balanced_accuracy", max_loss=0.0005, rows=200)


def test_a_table_of_forms_tells_all_that_was_measured_in_100_characters(forms, capsys):
    _table("m.txt", forms, 1_234_567)
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 100
    heads = " ".join(lines[1:6]).split()
    assert {"technique", "parameters", "loss", "interval", "bytes", "times", "memory"} <= set(heads)
    chosen = next(line for line in lines if "→" in line)
    assert "prune+quantize" in chosen
    assert {"12.3", "274000", "123456", "123.5", "10"} <= set(chosen.split())
    unmeasured = next(line for line in lines if "quantize_network" in line)
    assert unmeasured.split()[-2:] == ["–", "–"]


def test_students_are_told_beside_their_controls(forms, capsys):
    _table("m.txt", forms)
    said = capsys.readouterr().out
    assert "trained on the labels alone" in said
    assert "  4, 5: balanced_accuracy better by 0.01 (0.004 … 0.02), surely better\n" in said
    assert "  6: balanced_accuracy better by 0.01 (-0.001 … 0.02), not surely better" in said
    _controls(replace(forms, candidates=forms.candidates[:3]))
    assert capsys.readouterr().out == ""


def test_forms_that_were_trained_anew_are_told(forms, capsys):
    _table("m.txt", forms)
    assert "retrain" not in capsys.readouterr().out
    made = form("retrain", {"units": 4})
    _table("m.txt", replace(forms, candidates=(*forms.candidates, made)))
    said = "7 is a new small model trained on the labels alone, not the model made smaller\n"
    assert f"retrain: {said}" in capsys.readouterr().out
    chosen = form("retrain+quantize_network", {"quantize_network.bits": 8}, chosen=True)
    _table("m.txt", replace(forms, candidates=(forms.candidates[0], made, chosen)))
    lines = capsys.readouterr().out.splitlines()
    (told,) = (line for line in lines if line.startswith("retrain: "))
    assert told.startswith("retrain: 2, 3 are new small models trained on the labels alone")
    assert told.endswith("; 3 is chosen")
    assert len(told) <= 110


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (500, "500 B, 2.0 times smaller than m.onnx"),
        (1000, "1,000 bytes, as large as it was (m.onnx: 1,000 bytes)"),
        (3333, "3,333 bytes, larger than it was (m.onnx: 1,000 bytes)"),
    ],
)
def test_a_file_that_grew_is_not_called_smaller(count, said):
    assert _shrunk(count, 1000, "m.onnx") == said


@pytest.mark.parametrize(("name", "remedy"), [("m.onnx", "Export"), ("m.json", "Save")])
def test_a_damaged_model_ends_with_the_code_of_bundles(raymm, outside, tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"{ this is cut")
    where = ["--data", outside / "holdout.csv", "--target", "y", "-o", tmp_path / "o.raymm"]
    done = raymm("compress", tmp_path / name, *where)
    assert (done.code, f"{remedy} the model again" in done.err) == (4, True), done.err
    assert str(tmp_path / name) in done.err
