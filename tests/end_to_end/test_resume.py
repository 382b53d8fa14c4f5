"""A killed run goes on where it stopped, and ends as an undisturbed one does."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest

TRIALS = 14
SETTINGS = ("--target", "approved", "--trials", TRIALS, "--seed", 3, "--set", "search.parallel=1")
FEW = ("--set", "search.families=[linear, lightgbm]", "--set", "compression.techniques=[quantize]")
"""What a kill does not tell on is left out; the chaos below leaves nothing out."""


def records(home, kind):
    """Return the whole records of a kind in the one ledger below a home folder."""
    found = []
    for path in home.glob("runs/*/ledger.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("kind") == kind:
                found.append(record)
    return found


def kill_when(command, home, csv, settings, *, count, wait=0.0):
    """Start the run and send SIGKILL ``wait`` seconds after ``count`` trials are in the ledger."""
    process = command.start("run", csv, *settings, "--json", home=home)
    deadline = time.monotonic() + 900
    while len(records(home, "trial")) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return len(records(home, "trial"))


def check_kills(command, tmp_path, csv, moments, settings=SETTINGS):
    calm = command.json("run", csv, *settings, home=tmp_path / "calm")
    board = command.json("leaderboard", calm["run"], home=tmp_path / "calm")["trials"]
    for index, (count, wait) in enumerate(moments):
        home = tmp_path / f"home{index}"
        kept = kill_when(command, home, csv, settings, count=count, wait=wait)
        done = command.json("run", csv, *settings, home=home)
        assert done["resumed_trials"] == kept
        assert done["trials"] == calm["trials"]
        numbers = [record["trial"]["number"] for record in records(home, "trial")]
        assert sorted(numbers) == list(range(calm["trials"])), "a finished trial was run again"
        resumed = command.json("leaderboard", done["run"], home=home)["trials"]
        assert [t["config"] for t in resumed] == [t["config"] for t in board]
        same = ("score", "best", "bundle_bytes", "blessed", "promoted", "stopped_by")
        assert {key: done[key] for key in same} == {key: calm[key] for key in same}
        versions = [
            command.json("models", "loans", home=where)["versions"][0]["bundle"]
            for where in (home, tmp_path / "calm")
        ]
        assert versions[0] == versions[1]


@pytest.mark.ray
def test_a_killed_driver_resumes_and_ends_as_an_undisturbed_one(command, tmp_path, loans_csv):
    check_kills(command, tmp_path, loans_csv, [(3, 0.05)], (*SETTINGS, *FEW, "--trials", 6))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_twenty_kills_at_random_moments(command, tmp_path, loans_csv):
    generator = np.random.default_rng()
    counts = generator.integers(0, TRIALS, size=20).tolist()
    waits = generator.uniform(0, 0.5, size=20).tolist()
    print("killed after (trials, seconds):", list(zip(counts, waits, strict=True)))
    check_kills(command, tmp_path, loans_csv, list(zip(counts, waits, strict=True)))


@pytest.mark.ray
def test_ctrl_c_says_how_to_resume_and_keeps_what_was_found(command, loans_csv):
    process = command.start("run", loans_csv, "--target", "approved", "--trials", 4000, *FEW)
    deadline = time.monotonic() + 600
    while len(records(command.home, "trial")) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "same command" in err
    assert "Traceback" not in err
    kept = len(records(command.home, "trial"))
    done = command.json("run", loans_csv, "--target", "approved", "--trials", kept, *FEW)
    assert done["resumed_trials"] == kept
