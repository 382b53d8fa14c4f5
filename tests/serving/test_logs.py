"""raymm's lines stand in Serve's log of a replica."""

from __future__ import annotations

import logging
import logging.handlers

import pytest

from raymm.serving import logs
from raymm.serving.app import _log


@pytest.fixture
def written(tmp_path):
    """Set Serve's logger up as in a replica whose throughput is optimised; read what it wrote."""
    serve, own = logging.getLogger(logs.SERVE), logging.getLogger("raymm")
    before = serve.handlers, serve.level, serve.propagate, own.handlers, own.propagate
    path = tmp_path / "replica.log"
    file = logging.FileHandler(path)
    file.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    held = logging.handlers.MemoryHandler(1000, flushLevel=logging.ERROR, target=file)
    serve.handlers, own.handlers = [held], []
    serve.setLevel(logging.WARNING)
    serve.propagate = False
    yield lambda: path.read_text().splitlines()
    file.close()
    serve.handlers, level, serve.propagate, own.handlers, own.propagate = before
    serve.setLevel(level)


def test_warnings_and_errors_are_written_at_once_and_once(written):
    logs.to_serve()
    logs.to_serve()
    _log.warning("tokens were read again")
    assert written() == ["WARNING tokens were read again"]
    try:
        raise ValueError("broken")
    except ValueError:
        _log.exception("a request failed")
    assert written()[1:3] == ["ERROR a request failed", "Traceback (most recent call last):"]
    assert written()[-1] == "ValueError: broken"


def test_remarks_are_left_out(written):
    logs.to_serve()
    logging.getLogger("raymm.serving").info("refused")
    assert written() == []
