"""raymm run, validate, submit: what they print, and twenty kinds of bad input."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(line, count=40):
    return "\n".join([line] * count)


GOOD = "x,y\n" + "\n".join(f"{i},{i % 2}" for i in range(40))

BAD_TABLES = {
    "an empty file": ("", 3, "empty"),
    "a header alone": ("x,y\n", 3, "no rows"),
    "no such target": ("x,z\n1,2\n3,4\n", 3, "y"),
    "one class only": ("x,y\n" + "\n".join(f"{i},a" for i in range(40)), 3, "class"),
    "a target that is blank": ("x,y\n" + "\n".join(f"{i}," for i in range(40)), 3, "y"),
    "too few rows": ("x,y\n1,a\n2,b\n3,a\n", 3, "row"),
    "nothing but a constant": ("x,y\n" + "\n".join(f"7,{i % 2}" for i in range(40)), 3, "column"),
    "nothing but ids": (
        "id,y\n" + "\n".join(f"a{i:05d}z,{i % 2}" for i in range(400)),
        3,
        "column",
    ),
    "bytes that are no text": (bytes(range(256)) * 20, 3, "bad.csv"),
}


def test_detach_needs_deploy(raymm, home):
    done = raymm("run", "loans.csv", "--target", "y", "--detach")
    assert (done.code, "--deploy" in done.err) == (2, True)


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_exit_with_3_and_say_what_is_wrong(raymm, tmp_path, kind):
    text, code, words = BAD_TABLES[kind]
    path = write(tmp_path / "bad.csv", text)
    done = raymm("run", path, "--target", "y", "--trials", 1, "--storage", tmp_path / "home")
    assert (done.code, "Traceback" in done.err) == (code, False), done.err
    assert words in done.err
    assert not (tmp_path / "home" / "models").exists()


BAD_CALLS = {
    "no such file": (["run", "none.csv", "--target", "y"], 3, "none.csv"),
    "no target": (["run", "good.csv"], 2, "--target"),
    "no such command": (["rnu", "good.csv"], 2, 'Did you mean "run"'),
    "no such option": (["run", "good.csv", "--tarjet", "y"], 2, "--target"),
    "a time that is none": (["run", "good.csv", "--target", "y", "--time", "soon"], 2, "90s"),
    "no trials": (
        ["run", "good.csv", "--target", "y", "--trials", "0"],
        2,
        "--trials must be at least 1",
    ),
    "a metric of another task": (
        ["run", "good.csv", "--target", "y", "--metric", "rmse"],
        2,
        "roc_auc",
    ),
    "an unknown metric": (["run", "good.csv", "--target", "y", "--metric", "auc"], 2, "roc_auc"),
    "an unknown algorithm": (["run", "good.csv", "--target", "y", "--algorithm", "x"], 2, "tpe"),
    "an unknown family": (
        ["run", "good.csv", "--target", "y", "--set", "search.families=[lightgbmm]"],
        2,
        "lightgbm",
    ),
    "an unknown key": (
        ["run", "good.csv", "--target", "y", "--set", "serach.trials=1"],
        2,
        "search",
    ),
    "a setting without a value": (
        ["run", "good.csv", "--target", "y", "--set", "seed"],
        2,
        "KEY=VALUE",
    ),
    "a name that is none": (["run", "good.csv", "--target", "y", "--name", "../up"], 2, "name"),
    "a file that is no YAML": (["run", "bad.yaml"], 2, "bad.yaml"),
    "a file without data": (["run", "empty.yaml"], 2, "data"),
    "an unknown key in a file": (["run", "odd.yaml"], 2, "target"),
    "no such configuration": (["run", "none.yaml"], 2, "none.yaml"),
    "no such model": (["predict", "nobody", "good.csv", "-o", "out.csv"], 6, "nobody"),
    "no such run": (["leaderboard", "nobody-1"], 6, "nobody-1"),
    "no such version": (["promote", "nobody", "3"], 6, "nobody"),
    "a storage that is a file": (
        ["run", "good.csv", "--target", "y", "--storage", "good.csv"],
        6,
        "good.csv",
    ),
    "no such service": (["stop", "nobody"], 6, "nobody"),
    "a schema that is none": (["validate", "good.csv", "--schema", "bad.yaml"], 3, "bad.yaml"),
    "no such function": (["tune", "nowhere:f", "empty.yaml"], 2, "nowhere"),
    "a schedule for a table": (
        ["run", "good.csv", "--target", "y", "--algorithm", "pbt"],
        2,
        "raymm tune",
    ),
    "a protected column that is none": (
        ["run", "good.csv", "--target", "y", "--trials", "1", "--set", "goal.protected=[sex]"],
        2,
        "sex",
    ),
}


@pytest.mark.parametrize("kind", BAD_CALLS)
def test_bad_calls_exit_with_their_code_and_say_what_to_do(
    raymm, tmp_path, monkeypatch, searching_here, kind
):
    arguments, code, words = BAD_CALLS[kind]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "RAYMM_HOME", str(tmp_path / "home"))
    write(tmp_path / "good.csv", GOOD)
    write(tmp_path / "bad.yaml", "a: [1, 2\n")
    write(tmp_path / "empty.yaml", "{}\n")
    write(tmp_path / "odd.yaml", "data: {source: good.csv, target: y, taget: z}\n")
    done = raymm(*arguments)
    assert (done.code, "Traceback" in done.err) == (code, False), done.err
    assert words in done.err
    assert not (tmp_path / "home" / "models").exists()


def test_errors_are_json_too(raymm, tmp_path):
    done = raymm("run", tmp_path / "none.csv", "--target", "y", "--json")
    told = json.loads(done.out)["error"]
    assert (told["type"], told["exit_code"], done.code) == ("DataError", 3, 3)


@pytest.mark.slow
def test_run_prints_one_json_object(raymm, finished, tmp_path, searching_here):
    done = raymm(
        "run", finished.csv, "--target", "approved", "--trials", 1, "--storage", tmp_path,
        "--set", "search.families=[linear]", "--json",
    )  # fmt: skip
    assert done.code == 0
    summary = json.loads(done.out)
    assert summary["blessed"] is True
    assert summary["best"]["family"] == "linear"
    assert os.path.exists(summary["report"])


@pytest.mark.slow
def test_run_tells_a_person_what_it_found(raymm, finished, tmp_path, searching_here):
    done = raymm(
        "run", finished.csv, "--target", "approved", "--trials", 2, "--storage", tmp_path,
        "--set", "search.families=[linear, forest]", "--set", "compression.techniques=[truncate]",
    )  # fmt: skip
    assert done.code == 0
    for words in ("Leaderboard", "Compression", "importance", "blessed, champion", "next: raymm"):
        assert words in done.out
    assert "build and compress" in done.err


@pytest.mark.slow
def test_a_model_that_misses_its_goal_exits_with_5(raymm, finished, tmp_path, searching_here):
    done = raymm(
        "run", finished.csv, "--target", "approved", "--trials", 1, "--storage", tmp_path,
        "--set", "search.families=[linear]", "--set", "goal.at_least=0.9999",
        "--set", "compression.techniques=[prune]",
    )  # fmt: skip
    assert done.code == 5
    assert "not blessed and was not promoted" in done.err
    assert "champion" not in raymm("models", "--storage", tmp_path).out.split()


@pytest.mark.slow
def test_a_refused_run_is_one_json_object_too(raymm, finished, tmp_path, searching_here):
    done = raymm(
        "run", finished.csv, "--target", "approved", "--trials", 1, "--storage", tmp_path,
        "--set", "search.families=[linear]", "--set", "goal.at_least=0.9999", "--json",
        "--set", "compression.techniques=[prune]",
    )  # fmt: skip
    told = json.loads(done.out)
    assert (done.code, told["error"]["exit_code"], told["blessed"]) == (5, 5, False)


def test_names_are_checked_before_anything_is_spent(raymm, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("raymm.searching.search", lambda life: pytest.fail("it searched"))
    for setting, words in (
        ("compression.techniques=[shrink]", "truncate"),
        ("search.families=[lightgbmm]", "lightgbm"),
        ("search.algorithm=bohm", "tpe"),
    ):
        done = raymm(
            "run",
            finished.csv,
            "--target",
            "approved",
            "--storage",
            tmp_path / "s",
            "--set",
            setting,
        )
        assert (done.code, words in done.err) == (2, True)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("compression.techniques=[shrink]", "truncate"),
        ("search.families=[lightgbmm]", 'Did you mean "lightgbm"'),
        ("goal.metric=rocauc", 'Did you mean "roc_auc"'),
    ],
)
def test_validate_checks_the_names_that_it_hands_on_before_it_reads(raymm, setting, words):
    done = raymm("validate", "nowhere.csv", "--target", "y", "--set", setting)
    assert (done.code, words in done.err) == (2, True), done.err


@pytest.mark.slow
def test_validate_writes_a_schema_that_can_be_given_back(raymm, finished, tmp_path):
    schema = tmp_path / "schema.yaml"
    refused = raymm("validate", finished.csv, "--target", "approved", "-o", finished.csv)
    assert (refused.code, "is what is read" in refused.err) == (2, True)
    done = raymm("validate", finished.csv, "--target", "approved", "-o", schema)
    assert done.code == 0
    assert "binary of approved" in done.out
    assert f"--set data.schema={schema}" in done.out
    assert "2024-01-01 to 2024-10-26" in done.out, "dates are told as dates"
    again = raymm("validate", finished.csv, "--schema", schema, "--json")
    assert again.code == 0
    columns = json.loads(again.out)["schema"]["columns"]
    assert {column["name"]: column["kind"] for column in columns}["income"] == "number"


@pytest.mark.slow
def test_validate_splits_as_a_run_would_with_a_schema_and_without(raymm, tmp_path):
    rng = np.random.default_rng(0)
    when = np.arange(400)
    frame = pd.DataFrame(
        {
            "when": when,
            "x": np.where(when < 300, 0.0, 9.0) + rng.normal(size=400),
            "y": rng.choice(["a", "b"], 400),
        }
    )
    schema = tmp_path / "schema.yaml"
    source = tmp_path / "a.csv"
    frame.sample(frac=1, random_state=0).to_csv(source, index=False)
    timed = "data.time=when"
    plain = raymm("validate", source, "--target", "y", "-o", schema)
    assert "skew" not in plain.out
    done = raymm("validate", source, "--target", "y", "--set", timed)
    assert "skew" in done.out
    assert f"--set {timed}" in done.out
    held = raymm("validate", source, "--schema", schema, "--set", timed)
    assert "skew" in held.out
    text = schema.read_text().replace("role: feature", "role: time", 1)
    write(schema, text)
    by_role = raymm("validate", source, "--schema", schema)
    assert "skew" in by_role.out
    wrong = raymm("validate", source, "--schema", schema, "--set", "data.time=x")
    assert (wrong.code, "Change one of them" in wrong.err) == (3, True)


def test_validate_reads_a_file_as_it_is_said_to_be(raymm, tmp_path):
    source = tmp_path / "a.csv"
    rows = [f"{'Köln' if i % 3 else 'Aix'}!!{i}!!{'ja' if i % 2 else 'nein'}" for i in range(60)]
    source.write_bytes("\n".join(["w!!n!!y", *rows]).encode("cp437"))
    said = ["--set", "data.encoding=ibm437", "--set", "data.delimiter=!!"]
    done = raymm("validate", source, "--target", "y", "--json", *said)
    assert done.code == 0
    columns = {column["name"]: column for column in json.loads(done.out)["schema"]["columns"]}
    assert list(columns) == ["w", "n", "y"]
    assert columns["w"]["categories"] == ["Köln", "Aix"]
    wrong = raymm("validate", source, "--target", "y", *said, "--set", "data.encoding=ascii")
    assert wrong.code == 3
    assert "0x94, which is byte" in wrong.err
    wrong = raymm("validate", source, "--target", "y", "--set", "data.encoding=utf-9")
    assert (wrong.code, "such as utf-8" in wrong.err) == (2, True)


def test_validate_tells_of_personal_data_and_shows_none(raymm, tmp_path):
    rows = "".join(f"user{n}@mail.example,{n % 7},{n % 2}\n" for n in range(60))
    (tmp_path / "people.csv").write_text("contact,size,y\n" + rows)
    printed = raymm("validate", tmp_path / "people.csv", "--target", "y").out
    assert "(personal)" in printed
    assert "personal data: mail addresses" in printed
    assert "user1" not in printed
    assert "role feature" not in printed  # nobody is told to bring it back


def test_validate_shows_a_table_as_an_edited_schema_reads_it(raymm, tmp_path):
    source, schema = tmp_path / "people.csv", tmp_path / "schema.yaml"
    rows = [f"{-999 if i % 5 == 0 else 20 + i % 50},{i % 3},{'no' if i % 2 else 'yes'}"
            for i in range(300)]  # fmt: skip
    source.write_text("\n".join(["age,room,y", *rows]))
    raymm("validate", source, "--target", "y", "-o", schema)
    text = schema.read_text().replace("name: age\n", "name: age\n  missing: [-999]\n")
    schema.write_text(text)
    done = raymm("validate", source, "--schema", schema, "--json")
    found = json.loads(done.out)["statistics"]["columns"]
    (age,) = (one for one in found if one["name"] == "age")
    assert (age["missing"], age["quantiles"][0]) == (60, 21)
    shown = raymm("validate", source, "--schema", schema).out
    (line,) = (line for line in shown.splitlines() if line.lstrip("│ ").startswith("age "))
    assert "-999" not in line
    assert "60" in line


@pytest.mark.slow
def test_validate_finds_what_a_schema_forbids(raymm, finished, tmp_path):
    schema = tmp_path / "schema.yaml"
    raymm("validate", finished.csv, "--target", "approved", "-o", schema)
    frame = pd.read_csv(finished.csv, dtype=str).assign(income=np.repeat("much", 2000))
    frame.to_csv(tmp_path / "odd.csv", index=False)
    done = raymm("validate", tmp_path / "odd.csv", "--schema", schema)
    assert "much" in done.out
    assert done.code == 3
    assert done.out.count("error  income") == 1
    assert "raymm run" not in done.out
    assert "the table has 1 error, shown above" in done.err
    assert "income" not in done.err
    asked = raymm("validate", tmp_path / "odd.csv", "--schema", schema, "--json")
    assert "income" in json.loads(asked.out)["error"]["message"]


def test_validate_tells_what_was_found_and_done(raymm, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(["no", "yes"], 200)
    mail = [f"anna{i}@example.com" for i in range(200)]
    columns = {"x": rng.normal(size=200), "copy": y, "mail": mail, "flag": np.arange(200) > 198}
    pd.DataFrame({**columns, "y": y}).to_csv(tmp_path / "a.csv", index=False)
    done = raymm("validate", tmp_path / "a.csv", "--target", "y")
    told = " ".join(done.out.split())
    for words in ("copy: suspected leak", "mail: personal data", "flag: near-constant column"):
        assert words in told
    assert "anna1@example.com" not in told.partition("warning")[2]


def test_validate_tells_of_doubtful_labels_where_the_table_is_valid(raymm, tmp_path, monkeypatch):
    random, source = np.random.default_rng(0), tmp_path / "a.csv"
    kind = random.integers(0, 2, 300)
    frame = pd.DataFrame({"x": random.normal(8.0 * kind), "y": np.array(["no", "yes"])[kind]})
    frame.loc[[4, 77, 150, 222], "y"] = np.array(["yes", "no"])[kind[[4, 77, 150, 222]]]
    frame.to_csv(source, index=False)
    done = raymm("validate", source, "--target", "y")
    assert "warning  y: label noise: 4 rows (1.33%) of the 300 looked at" in done.out
    assert "A run trains on them as they are." in done.out
    told = [line.partition("] ")[2] for line in done.err.splitlines()]
    reading, described, looked = told
    assert reading.startswith("data  reading ")
    assert described == "data  300 rows; describing the columns"
    assert looked == "data  looking for doubtful labels"
    done = raymm("validate", source, "--target", "y", "--json")
    assert not done.err
    found = json.loads(done.out)
    assert {one["row"] for one in found["doubtful_labels"]["worst"]} == {5, 78, 151, 223}
    from raymm import labels

    monkeypatch.setattr(labels, "looked_at", lambda *_, **__: 1 / 0)
    done = raymm("validate", source, "--target", "y")
    assert (done.code, "label noise" in done.out) == (0, False)
    frame.assign(y="no").to_csv(source, index=False)
    monkeypatch.setattr(labels, "of_rows", lambda *_, **__: pytest.fail("an invalid table"))
    assert raymm("validate", source, "--target", "y").code == 3


def test_submit_refuses_a_file_that_is_not_sent_along(raymm, tmp_path):
    path = write(tmp_path / "a.yaml", "data: {source: a.csv, target: y}\n")
    (tmp_path / "inside").mkdir()
    done = raymm(
        "submit", path, "--address", "http://127.0.0.1:1", "--working-dir", tmp_path / "inside"
    )
    assert done.code == 2
    assert "working directory" in done.err
