"""Commands that read what is stored."""

from __future__ import annotations

import json
import subprocess
import sys

import onnx
import pandas as pd
import pytest


def test_models_and_their_versions(raymm, home):
    assert "loans" in raymm("models").out
    told = json.loads(raymm("models", "loans", "--json").out)
    assert [version["number"] for version in told["versions"]] == [1, 2]
    assert told["champions"] == {"loans": 2}


def test_a_score_that_is_not_the_shipped_bundle_s_is_told(raymm, refitted):
    where = ("--storage", refitted.home)
    proven = refitted.before.version.bundle[:12]
    for told in (raymm("models", *where).out, raymm("models", "loans", *where).out):
        joined = " ".join(told.split())
        assert f"loans 3: the score is of the proven bundle, {proven}, trained without" in joined
    assert "not of all rows" in " ".join(raymm("explain", "loans", *where).out.split())
    with_scores = json.loads(raymm("models", "loans", *where, "--json").out)["versions"]
    assert [one["summary"]["refit"] for one in with_scores] == ["train", "train", "all"]


def test_runs_and_leaderboards(raymm, finished, home):
    told = json.loads(raymm("runs", "--json").out)["runs"]
    assert {one["run"]: one["trials"] for one in told} == {
        run.run: len(run.trials.trials) for run in finished.runs
    }
    run = finished.runs[1]
    board = json.loads(raymm("leaderboard", run.run, "--json").out)["trials"]
    assert [one["id"] for one in board] == [trial.id for trial in run.trials.leaderboard]
    assert "roc_auc, mean over validation folds" in raymm("leaderboard", run.run).out


@pytest.mark.parametrize("by", ["run", "name"])
def test_reports_are_written(raymm, finished, home, tmp_path, by):
    which = finished.runs[1].run if by == "run" else "loans"
    done = raymm("report", which, "-o", tmp_path / "r.html")
    assert done.code == 0
    assert "<html" in (tmp_path / "r.html").read_text()


@pytest.fixture
def gone_back(finished, tmp_path):
    """A copy of the home of `finished` whose champion is version 1, though 2 is newer."""
    import shutil

    from raymm.registry.versions import Registry

    shutil.copytree(finished.home, tmp_path / "gone_back")
    registry = Registry(str(tmp_path / "gone_back"))
    registry.promote("loans", 1, force=True)
    return registry


def test_a_name_stands_for_its_champion_and_each_version_can_be_named(
    raymm, finished, gone_back, tmp_path
):
    where, page = ("--storage", gone_back.uri), tmp_path / "r.html"
    first, second = finished.runs
    for which, number in (("loans", 1), ("loans@1", 1), ("loans@2", 2), (second.run, 2)):
        done = raymm("explain", which, "--json", *where)
        part = gone_back.part(gone_back.version("loans", number), "explanation.json")
        assert json.loads(done.out) == json.loads(part)
        made = raymm("report", which, "-o", page, *where)
        assert f"version {number}<" in page.read_text()
        told = f"note  loans version 1, the champion, of run {first.run}; raymm models loans"
        for one in (done, made):
            assert one.err.startswith(told) if which == "loans" else not one.err
    for which, code in (("loans@3", 6), ("loans@two", 2), ("loans@", 2), ("lones@1", 6)):
        for command in ("explain", "report"):
            assert raymm(command, which, *where).code == code


def test_a_name_without_a_champion_stands_for_the_newest(raymm, finished, gone_back):
    import shutil
    from pathlib import Path

    shutil.rmtree(Path(gone_back.uri) / "models" / "loans" / "promotions")
    done = raymm("explain", "loans", "--json", "--storage", gone_back.uri)
    part = gone_back.part(gone_back.version("loans", 2), "explanation.json")
    assert json.loads(done.out) == json.loads(part)
    told = (
        f"note  loans version 2, the newest as none is the champion, of run {finished.runs[1].run}"
    )
    assert done.err.startswith(told)


def test_each_version_of_a_run_has_its_report(raymm, finished, gone_back, tmp_path, monkeypatch):
    """As of what raymm compress --pick makes."""
    monkeypatch.chdir(tmp_path)
    old = gone_back.version("loans", 2)
    page = gone_back.part(old, "report.html").replace(b"Confusion matrix", b"Another page")
    parts = {key: gone_back.part(old, key) for key in old.parts} | {"report.html": page}
    how = {"run": old.run, "blessed": True, "summary": old.summary, "parts": parts}
    gone_back.register("loans", gone_back.bundle(gone_back.version("loans", 1)), **how)
    where = ("--storage", gone_back.uri)
    note = raymm("report", old.run, *where).err
    assert note.startswith(f"note  loans version 3, the newest of 2, of run {old.run}; ")
    assert "raymm models loans" in note
    assert "loans@NUMBER" in note
    for number, words in ((2, "Confusion matrix"), (3, "Another page")):
        done = raymm("report", f"loans@{number}", *where)
        assert (done.code, done.err.count("note")) == (0, 1)
        assert done.out == f"{tmp_path}/{old.run}-{number}.html\n"
        text = (tmp_path / f"{old.run}-{number}.html").read_text()
        assert (f"version {number}<" in text, words in text) == (True, True)
    alone = finished.runs[0].run
    assert raymm("report", "loans", *where).out == f"{tmp_path}/{alone}.html\n"


def test_leaderboards_take_a_name(raymm, finished, home):
    told = json.loads(raymm("leaderboard", "loans", "--json").out)
    assert told["run"] in {run.run for run in finished.runs}
    assert raymm("leaderboard", "lones").code == 6


def test_a_report_tells_its_version(raymm, finished, home, tmp_path):
    for number, run in enumerate(finished.runs, start=1):
        assert raymm("report", run.run, "-o", tmp_path / "r.html").code == 0
        assert f"version {number}<" in (tmp_path / "r.html").read_text()
    assert "Confusion matrix" in (tmp_path / "r.html").read_text()


def test_a_damaged_run_is_listed_as_damaged(raymm, finished, home, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    ledger = copy / "runs" / finished.runs[0].run / "ledger.jsonl"
    ledger.chmod(0o600)
    text = ledger.read_bytes()
    ledger.write_bytes(text[:40] + b"#" + text[41:])
    done = raymm("runs", "--json", "--storage", copy)
    assert done.code == 0
    stages = {one["run"]: one["last stage"] for one in json.loads(done.out)["runs"]}
    assert [run for run, stage in stages.items() if stage.startswith("damaged")] == [
        finished.runs[0].run
    ]
    assert raymm("leaderboard", finished.runs[0].run, "--storage", copy).code == 6


@pytest.mark.parametrize("under", ["", "/below/it"])
def test_a_file_in_the_place_of_storage_is_refused(raymm, monkeypatch, tmp_path, under):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("RAYMM_HOME", f"{tmp_path}/file{under}")
    for command in (["runs"], ["models"], ["leaderboard", "x"], ["report", "x"]):
        done = raymm(*command)
        assert (done.code, f"{tmp_path}/file is a file" in done.err) == (2, True)


def test_storage_that_is_not_there_yet_is_empty(raymm, tmp_path):
    done = raymm("runs", "--json", "--storage", tmp_path / "new" / "home")
    assert (done.code, json.loads(done.out)) == (0, {"runs": []})
    assert "no runs in" in raymm("runs", "--storage", tmp_path / "new").out


def test_explanations_are_shown(raymm, home):
    assert "income" in raymm("explain", "loans").out
    told = json.loads(raymm("explain", "loans", "--json").out)
    sums = [told["base"] + sum(row) for row in told["contributions"]]
    assert sums == pytest.approx(told["outputs"], abs=1e-6)


def test_predictions_are_written_row_by_row(raymm, finished, home, tmp_path):
    done = raymm("predict", "loans", finished.csv, "-o", tmp_path / "out.csv", "--json")
    told = json.loads(done.out)
    assert (told["rows"], told["version"], told["notes"]) == (2000, 2, [])
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written) == ["prediction", "probability_no", "probability_yes"]
    truth = pd.read_csv(finished.csv)["approved"]
    assert (written["prediction"] == truth).mean() > 0.8
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_bundle_file_predicts_and_gives_its_graph(raymm, finished, home, tmp_path):
    from raymm.bundle.packed import Bundle
    from raymm.registry.versions import Registry

    registry = Registry(str(home))
    path, out = tmp_path / "x.raymm", tmp_path / "out.csv"
    path.write_bytes(registry.bundle(registry.champion("loans")))
    done = raymm("predict", path, finished.csv, "-o", out)
    assert (done.code, f"predicted by {path}, written" in done.out) == (0, True)
    assert json.loads(raymm("predict", path, finished.csv, "-o", out, "--json").out)["rows"] == 2000
    assert raymm("predict", "loans", finished.csv, "-o", tmp_path / "same.csv").code == 0
    assert out.read_bytes() == (tmp_path / "same.csv").read_bytes()
    assert raymm("export", "onnx", path, "-o", tmp_path / "x.onnx").code == 0
    before = path.read_bytes()
    for command in (("export", "onnx", path), ("predict", path, finished.csv)):
        refused = raymm(*command, "-o", path)
        assert refused.code == 2
        assert "is what is read" in refused.err
        assert path.read_bytes() == before
    graph, whole = onnx.load(tmp_path / "x.onnx"), Bundle.from_bytes(path.read_bytes()).graph
    assert graph.graph == onnx.load_from_string(whole).graph
    told = {one.key: one.value for one in graph.metadata_props}
    assert (told["raymm.model"], told["raymm.target"]) == ("x.raymm", "approved")
    path.write_bytes(path.read_bytes()[:-1])
    assert raymm("predict", path, finished.csv, "-o", out).code == 4
    assert raymm("predict", tmp_path / "y.raymm", finished.csv, "-o", out).code == 6


def test_predictions_of_a_table_without_a_column_are_refused(raymm, finished, home, tmp_path):
    pd.read_csv(finished.csv).drop(columns="income").to_csv(tmp_path / "less.csv", index=False)
    done = raymm("predict", "loans", tmp_path / "less.csv", "-o", tmp_path / "out.csv")
    assert (done.code, "income" in done.err) == (3, True)
    assert not (tmp_path / "out.csv").exists()


def test_a_new_category_is_told_beside_the_predictions(raymm, finished, home, tmp_path):
    frame = pd.read_csv(finished.csv, dtype=str).head(30).assign(city="Paris")
    frame.to_csv(tmp_path / "new.csv", index=False)
    done = raymm("predict", "loans", tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert "training had not: city in 30 of 30 rows (first 'Paris' in row 1)" in done.err


def test_a_table_without_rows_is_refused_for_that_alone(raymm, finished, home, tmp_path):
    pd.read_csv(finished.csv).head(0).to_csv(tmp_path / "none.csv", index=False)
    done = raymm("predict", "loans", tmp_path / "none.csv", "-o", tmp_path / "out.csv")
    assert done.code == 3
    assert done.err.endswith("has a header but no rows. Give a table that has some.\n")


def test_a_report_says_where_it_is_and_an_explanation_how_to_have_it(
    raymm, home, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = raymm("report", "loans@2")
    (path,) = tmp_path.iterdir()
    assert done.out == f"{path}\n"
    assert "the folder you are in; -o FILE writes it elsewhere" in done.err
    assert "folder you are in" not in raymm("report", "loans@2", "-o", path).err
    assert raymm("explain", "loans@2").out.endswith("raymm report loans@2\n")


def test_fsck_finds_damage_and_exits_with_6(raymm, finished, home, tmp_path):
    assert raymm("fsck").code == 0
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    blob = max((copy / "blobs").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    blob.chmod(0o600)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    done = raymm("fsck", "--storage", copy)
    assert done.code == 6
    assert blob.name in done.out


def test_replay_rebuilds_the_same_bytes(raymm, home):
    done = raymm("replay", "loans@2")
    assert (done.code, "byte for byte" in done.out) == (0, True)
    assert raymm("replay", "loans").code == 2


@pytest.mark.slow
def test_commands_without_a_cluster_do_not_import_ray(finished, home, tmp_path):
    commands = [
        ["models"],
        ["runs"],
        ["predict", "loans", str(finished.csv), "-o", str(tmp_path / "o.csv")],
        ["leaderboard", finished.runs[0].run],
        ["report", "loans", "-o", str(tmp_path / "r.html")],
        ["explain", "loans"],
    ]
    code = (
        f"import sys\nfrom raymm.cli import main\nTABLE = {str(finished.csv)!r}\n"
        f"for command in {commands!r}:\n"
        "    try: main(command)\n"
        "    except SystemExit as end: assert end.code == 0, (command, end.code)\n"
        "    found = {'ray', 'xgboost', 'hyperopt'} & set(sys.modules)\n"
        "    assert not found, (command, found)\n"
        "assert 'lightgbm' not in sys.modules\n"
        "try: main(['validate', TABLE, '--target', 'approved'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'ray' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_version_is_named_alike_everywhere(raymm, finished, home, tmp_path):
    for name, more in (("loans@1", ()), ("loans", ("--version", 1)), ("loans@1", ("--version", 1))):
        out = tmp_path / "out.csv"
        done = raymm("predict", name, finished.csv, "-o", out, *more)
        assert (done.code, done.out.count("predicted by loans version 1, written to")) == (0, 1)
    assert raymm("predict", "loans@1", finished.csv, "-o", out, "--version", 2).code == 2
    done = raymm("export", "onnx", "loans@1", "-o", tmp_path / "x.onnx")
    assert (done.code, "loans version 1 written to" in done.out) == (0, True)
    boards = [json.loads(raymm("leaderboard", f"loans@{n}", "--json").out)["run"] for n in (1, 2)]
    assert boards == [run.version.run for run in finished.runs]
    for command in (("deploy", "loans@1"), ("export", "serve", "loans@1")):
        refused = raymm(*command)
        assert (refused.code, "raymm promote loans 1" in refused.err) == (2, True)
