"""How many processors have nothing to do.

Threads that train a small model together wait for each other thousands of times a second. Where
another process takes one's processor, all stand still: on two processors with others at work, 200
rounds of LightGBM on 5,600 rows took 8 to 39 s with two threads and 1.3 s with one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePosixPath

WINDOW = 0.1
"""Seconds over which processors are watched; Linux counts in hundredths of a second."""
_GROUPS, _OWN = "/sys/fs/cgroup", "/proc/self/cgroup"


def cpus() -> int:
    """Return how many processors this process may use at a time, at least 1.

    A container's limit counts, as whole processors: a system of 32 lets a container of 2 run on any
    of them, and stops it for the rest of each period in which it has used what 2 can give.
    """
    given = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    there = len(given(0)) if given else os.cpu_count() or 1
    return max(1, min([there, *map(int, _quotas())]))


def idle_cpus(most: int) -> int:
    """Return how many of this process's processors are idle now, from 1 to ``most``.

    A processor counts that others use for less than half of the time, and no more do than `cpus`
    says. Where the system does not say, which is everywhere but on Linux, all are taken to be idle.
    """
    most = min([most, *map(int, _quotas())])
    if most <= 1 or (before := _busy()) is None:
        return max(1, most)
    time.sleep(WINDOW)
    after = _busy() or before
    shares = [
        (after[cpu][0] - busy) / max(1, after[cpu][1] - total)
        for cpu, (busy, total) in before.items()
        if cpu in after
    ]
    return max(1, min(most, sum(share < 0.5 for share in shares)))


def _busy() -> dict[int, tuple[int, int]] | None:
    """Return each processor's ticks at work and in all since the start; None where unknown."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("cpu")]
        ours = os.sched_getaffinity(0)
        found = {}
        for name, *fields in lines:
            if name != "cpu" and int(name[3:]) in ours:
                ticks = [int(field) for field in fields[:8]]
                found[int(name[3:])] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
        return found or None
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _quotas() -> list[float]:
    """Return how many processors this process's control groups grant it, where they say.

    A group is bound by those above it too. In a container its own path may be that of the host,
    which is not to be seen from inside: what is at the top is its own then.
    """
    try:
        lines = Path(_OWN).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    found = []
    for folder, own, read in (
        ("", _path(lines, ""), _second),
        ("cpu", _path(lines, "cpu"), _first),
        ("cpu,cpuacct", _path(lines, "cpu"), _first),
    ):
        for part in {own, *own.parents}:
            quota = read(Path(_GROUPS, folder, *part.parts[1:]))
            found += [quota] if quota is not None else []
    return found


def _path(lines: list[str], controller: str) -> PurePosixPath:
    """Return this process's group, as /proc/self/cgroup has it: "number:controllers:path"."""
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(",") and path.startswith("/") and ".." not in path:
            return PurePosixPath(path)
    return PurePosixPath("/")


def _second(group: Path) -> float | None:
    """Return a group's processors in version 2: "200000 100000" are 2; None without a limit."""
    try:
        most, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(most) / int(period) if most != "max" else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _first(group: Path) -> float | None:
    """Return a group's processors in version 1, where a quota of -1 is none."""
    try:
        most = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return most / period if most > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
