from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raymm.errors import ServingError
from raymm.sole import held, sole

HOLD = """
import sys
from pathlib import Path
from raymm.sole import sole
with sole(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_it_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "loops" / "m.lock"
    process = holder(path)
    try:
        with (
            pytest.raises(ServingError, match=f"keep of m runs already.*kill {process.pid}"),
            sole(path, "raymm keep of m"),
        ):
            raise AssertionError
    finally:
        process.kill()
        process.wait()
    with sole(path, "raymm keep of m"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_lock_that_was_let_go_is_free_and_its_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.lock"
    for _ in range(2):
        with sole(path, "it"):
            assert path.stat().st_size
        assert path.read_bytes() == b""
    with pytest.raises(ZeroDivisionError), sole(path, "it"):
        raise ZeroDivisionError
    assert path.read_bytes() == b""


def test_a_holder_that_cannot_be_read_is_no_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "m.lock"
    process = holder(path)
    try:
        path.write_text('{"pid": "x"')
        with pytest.raises(ServingError, match=r"it runs already\. End it"), sole(path, "it"):
            raise AssertionError
    finally:
        process.kill()
        process.wait()


def test_who_looks_sees_a_holder_and_disturbs_nobody(tmp_path: Path) -> None:
    path = tmp_path / "loops" / "m.lock"
    assert not held(path)
    process = holder(path)
    try:
        assert held(path)
    finally:
        process.kill()
        process.wait()
    assert not held(path)
    with sole(path, "it"):
        assert path.stat().st_size


def test_to_look_at_an_own_lock_or_to_take_it_again_does_not_let_it_go(tmp_path: Path) -> None:
    path = tmp_path / "m.lock"
    again = tmp_path / "link" / "m.lock"
    again.parent.symlink_to(tmp_path)
    with sole(path, "it"):
        for mine in (path, again):
            assert held(mine)
            with pytest.raises(ServingError, match="in this process"), sole(mine, "it"):
                raise AssertionError
        tried = subprocess.run(
            [sys.executable, "-c", HOLD, str(path)],
            check=False,
            input="",
            capture_output=True,
            text=True,
        )
        assert "it runs already (process" in tried.stderr
    assert not held(path)
    with sole(path, "it"):
        pass
