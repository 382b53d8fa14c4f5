"""What a person sees while it works."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Progress, Trial
from raymm.cli import progress as shown
from raymm.cli.progress import board, fitted, leader, line

TRIALS = tuple(
    Trial(
        id=str(n),
        number=n,
        config={"family": "lightgbm", "lightgbm.learning_rate": 0.0123456 * (n + 1)},
        status="finished",
        value=0.9 - 0.01 * n,
    )
    for n in range(5)
)
EVENT = Progress(
    stage="search",
    message="trial 7",
    done=7,
    total=10,
    best=0.9,
    seconds_left=61,
    metric="roc_auc",
    failed=1,
    running=2,
    leaders=TRIALS,
)


def test_a_line_tells_what_is_known():
    assert line(EVENT, 5.0) == (
        "[  5.0s] search  7/10 trials  1 failed  2 running  best roc_auc 0.9  1m01s left"
    )
    assert line(Progress(stage="data", message="reading a.csv"), 0.2).endswith("reading a.csv")


def test_the_start_of_ray_is_told():
    assert "Ray" in line(Progress(stage="search"), 1.0)
    assert line(Progress(stage="search", message="joining"), 1.0).endswith("search  joining")


def test_leaders_are_told_by_family_and_parameters():
    assert leader(1, TRIALS[0]) == "  1  0.9  lightgbm  learning_rate 0.01235"
    bare = Trial(id="a", number=0, config={"x": 2, "y": True}, status="finished", value=1.0)
    assert leader(2, bare) == "  2  1  x 2, y True"
    assert leader(2, bare, 2) == "  2  1  x 2, y True"
    assert leader(2, bare, 1) == "  2  1  x 2, …"


@given(st.integers(1, 200), st.floats(0, 1e6), st.text(max_size=300), st.booleans())
def test_no_line_is_longer_than_the_terminal(width, elapsed, text, plain):
    for event in (EVENT, Progress(stage="data", message=text), Progress(stage=text)):
        rows = board(event, elapsed, width, plain=plain)
        assert all(len(row) <= width for row in rows)
        assert not any("\n" in row for row in rows)
    assert len(fitted(text, width)) <= width


def test_the_board_holds_three_leaders_and_a_bar():
    rows = board(EVENT, 3.0, 120)
    assert len(rows) == 1 + 3
    assert rows[0].count("━") == 14
    assert board(EVENT, 3.0, 120, plain=True)[0].count("#") == 14


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_are_few_and_hold_no_control_codes(capsys):
    clock = Clock()
    plain = shown._Plain(clock)
    plain.show(Progress(stage="search"))
    for number in range(1, 1000):
        clock.now = number / 10  # a trial every tenth of a second
        plain.show(Progress(stage="search", done=number, total=1000, leaders=TRIALS[:1]))
    plain.end()
    out = capsys.readouterr().err
    # One of a stage, one every two seconds of the first minute, every ten of the next forty.
    assert 25 <= len(out.splitlines()) <= 1 + 30 + 4
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)
    assert out.count("(best: 0.9") == 1


def test_trials_that_go_on_after_all_have_begun_do_not_flood(capsys):
    clock = Clock()
    plain = shown._Plain(clock)
    for number in range(200):
        clock.now = number / 100
        plain.show(Progress(stage="search", done=8, total=8, best=float(number)))
    plain.end()
    assert len(capsys.readouterr().err.splitlines()) <= 3


@pytest.mark.slow
def test_silence_is_broken(capsys):
    clock = Clock()
    plain = shown._Plain(clock)
    plain.show(Progress(stage="search"))
    clock.now = shown.SILENCE + 1
    end = time.monotonic() + 10
    while plain._at < shown.SILENCE and time.monotonic() < end:
        time.sleep(0.05)
    plain.end()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("[ 16.0s] search")


def test_lines_end_at_the_width_that_is_set(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with shown.progress() as notify:
        notify(EVENT)
        notify(Progress(stage="data", message="x" * 100))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(len(one) <= 40 for one in lines)


@pytest.mark.parametrize("columns", [None, "", "0", "wide"])
def test_lines_of_a_log_are_whole(columns, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    with shown.progress() as notify:
        notify(Progress(stage="data", message="x" * 500 + "\nend"))
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("x" * 500 + " end")


SCRIPT = """
import time
from raymm.artifacts import Progress, Trial
from raymm.cli.progress import progress
best = Trial(id="a", number=0, config={"rate": 0.5}, status="finished", value=0.75)
with progress() as notify:
    notify(Progress(stage="data", message="reading [red]x[/red]"))
    notify(Progress(stage="search"))
    for done in range(1, 4):
        notify(Progress(stage="search", done=done, total=3, best=0.75, leaders=(best,)))
        notify(Progress(stage="search", message="a worker was lost"))
        time.sleep(0.4)
    notify(Progress(stage="build"))
"""


@pytest.mark.slow
def test_a_terminal_shows_a_board_that_is_gone_at_the_end():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "LINES": "20", "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=theirs, stdout=theirs, env=environment
    )
    os.close(theirs)
    told = io.BytesIO()
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        told.write(part)
    assert child.wait() == 0
    text = told.getvalue().decode()
    assert "rate 0.5" in text
    assert "a worker was lost" in text
    assert "reading [red]x[/red]" in text
    for row in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)):
        assert len(row) <= 60, row
    # What stays: one line a stage; the leaders are wiped out.
    after = text[text.rindex("rate 0.5") :]
    assert "\x1b[2K" in after
    assert "build and compress" in after
    assert re.search(r"\[ +\d+\.\ds\] search  3/3 trials", text)


@pytest.mark.parametrize("count", [0, 1])
def test_quiet_is_quiet(capsys, count):
    with shown.progress(quiet=True) as notify:
        for _ in range(count):
            notify(EVENT)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_has_one_line_that_is_written_over(capsys, monkeypatch):
    kernel = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    with shown.progress() as notify:
        for done in range(1, 101):
            notify(Progress(stage="search", done=done, total=100, best=0.5))
    out = capsys.readouterr().err
    assert out.count("\n") == 1
    assert 2 <= out.count("\r") <= 10, "not one for each trial"
    assert "100/100 trials  best 0.5" in out.rsplit("\r", 1)[-1]


def test_other_shells_are_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not shown.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not shown.in_notebook()


def test_no_time_is_left_when_all_is_done():
    assert "left" not in line(Progress(stage="search", done=3, total=3, seconds_left=0.0), 1.0)


@pytest.mark.parametrize("stage", ["features", "policy", "build", "evaluate", "explain", "audit"])
def test_a_stage_that_begins_says_what_it_does(stage):
    begun = line(Progress(stage=stage), 19.1)
    assert begun.startswith("[ 19.1s] ")
    assert len(begun.split("  ", 1)[-1].split()) > 3


def test_one_trial_is_told_as_one():
    assert line(Progress(stage="search", done=1, total=1), 1.0).endswith("search  1/1 trial")
    assert line(Progress(stage="search", done=1), 1.0).endswith("search  1 trial")
    assert line(Progress(stage="search", done=1, total=2), 1.0).endswith("search  1/2 trials")
