"""python -m raymm is raymm."""

from __future__ import annotations

import subprocess
import sys


def test_the_module_runs_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "raymm", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("raymm, version ")


def test_help_needs_nothing_heavy():
    code = (
        "import sys\nfrom raymm.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pandas', 'pydantic', 'ray', 'rich', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
