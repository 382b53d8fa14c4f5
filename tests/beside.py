"""Becomes a command that takes what others leave of the processors, in a session of its own.

Where the kernel shares processors among sessions first, ``nice`` counts within a session only: a
command gets half of a machine on which a command of another session works, however nice it is. So
the command gets a session of its own, and that whole session steps back. Its group has its number.

    python tests/beside.py COMMAND [ARGUMENT …]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

NICE = 10
SESSION = Path("/proc/self/autogroup")


def step_back() -> None:
    """Let this session come after others, where the kernel has it so."""
    for _ in range(20):
        try:
            SESSION.write_text(f"{NICE}\n")
        except BlockingIOError:  # one may write in each tenth of a second
            time.sleep(0.1)
        except OSError:  # no Linux, or one that does not share among sessions
            return
        else:
            return


def become(command: list[str]) -> None:
    """Run a command in this process's place; raises OSError where it cannot be."""
    os.setsid()
    os.nice(NICE)
    step_back()
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(sys.argv[1:])
