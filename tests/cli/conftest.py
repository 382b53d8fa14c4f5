"""The command line, called in this process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from raymm.cli import main


@pytest.fixture
def raymm(capsys):
    """Call the command line; returns its exit code, output and error output."""

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=end.value.code, out=out, err=err)

    return call
