"""What a person reads."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Progress, Trial, Trials
from raymm.cli import printing


@given(st.floats(0, 1e6))
def test_durations_read_back_to_within_their_precision(seconds):
    text = printing.duration(seconds)
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for letter in text:
        if letter in units:
            total += float(number) * units[letter]
            number = ""
        else:
            number += letter
    # The last unit shown is rounded: a tenth of a second, a second, or a minute.
    assert abs(total - seconds) <= (0.051 if seconds < 60 else 1 if seconds < 3600 else 60)


@given(st.integers(0, 10**12))
def test_sizes_read_back_to_within_their_precision(count):
    number, unit = printing.size(count).split()
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(float(number) * scale - count) <= 0.051 * scale


def test_progress_is_told_once_a_stage_where_there_is_no_terminal(capsys):
    with printing.progress() as notify:
        notify(Progress(stage="search"))
        for done in range(1, 4):
            notify(Progress(stage="search", done=done, total=3, best=0.5, seconds_left=9))
    lines = capsys.readouterr().err.splitlines()
    assert "search" in lines[0]
    assert "3/3 trials  best 0.5  9.0s left" in lines[-1]


def test_quiet_progress_prints_nothing(capsys):
    with printing.progress(quiet=True) as notify:
        notify(Progress(stage="search"))
    assert capsys.readouterr() == ("", "")


def test_brackets_in_names_are_text_not_markup(capsys):
    printing.table("T", ("a",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_the_leaderboard_shows_twenty_and_counts_the_rest(capsys):
    trials = tuple(
        Trial(id=str(i), number=i, config={"family": "linear"}, status="finished", value=float(i))
        for i in range(25)
    )
    printing.leaderboard(Trials(trials=trials, direction="minimize", metric="rmse"))
    out = capsys.readouterr().out
    assert "lower is better" in out
    assert "5 more" in out
    assert "failed" not in out


def test_the_leaderboard_tells_why_trials_failed(capsys):
    fine = Trial(id="0", number=0, config={}, status="finished", value=1.0)
    bad = tuple(
        Trial(
            id=str(n),
            number=n,
            config={},
            status="failed",
            error=f"ValueError: {why}\nfile, line 3",
        )
        for n, why in enumerate(("deep", "deep", "wide"), start=1)
    )
    printing.leaderboard(Trials(trials=(fine, *bad), direction="minimize", metric="rmse"))
    out = capsys.readouterr().out
    assert "3 failed:" in out
    assert [line.strip() for line in out.splitlines() if "trial " in line][-2:] == [
        "trial 1: ValueError: deep",
        "trial 3: ValueError: wide",
    ]
    assert "file, line 3" in out


def test_json_is_one_line(capsys):
    printing.as_json({"a": (1, float("nan"))})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}


def test_a_run_says_what_was_trained_on_what(finished, refitted, capsys):
    def told(run):
        printing.run(run)
        return " ".join(capsys.readouterr().out.split())

    first, second = told(finished.runs[1]), told(refitted.run)
    assert "kept refit: Trained on all 1,600 training rows after the search" in first
    assert "the 400 test rows are left alone" in first
    proven = finished.runs[1].version.bundle[:12]
    assert f"scores, explanation and groups are of the proven bundle, {proven}" in second
    assert "kept refit: After the proof it was trained anew on all 2,000 rows" in second
    assert "proven bundle" not in first


def test_a_run_ends_with_what_may_be_done_next(finished, capsys):
    run = finished.runs[1]
    printing.run(run)
    assert "next: raymm deploy loans" in capsys.readouterr().out
    failed = replace(run, promoted=False, version=replace(run.version, blessed=False))
    printing.run(failed)
    told = " ".join(capsys.readouterr().out.split())
    assert "next: raymm deploy" not in told
    assert f"raymm promote loans {run.version.number} --force" in told
