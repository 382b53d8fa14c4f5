"""Tells how much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

_DEFAULT = 8 * 2**30
_GROUPS = (
    (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory.current",
        "/sys/fs/cgroup/memory.stat",
    ),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
_CACHED = ("inactive_file", "total_inactive_file")
"""What a container's usage counts of files read long ago, in either version: it is given up where
memory is needed, as MemAvailable of the machine has it."""


def available() -> int:
    """Return the bytes that are free on this machine and within its container's limit.

    Where neither can be found out, as outside Linux, 8 GiB.
    """
    free = [value for value in (_machine(), *(_group(*paths) for paths in _GROUPS)) if value]
    return min(free, default=_DEFAULT)


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(sizes[0]) * 1024 if sizes else None


def _group(limit: str, used: str, told: str) -> int | None:
    try:
        most = Path(limit).read_text(encoding="ascii").strip()
        taken = Path(used).read_text(encoding="ascii").strip()
        return max(1, int(most) - int(taken) + _cached(told)) if most != "max" else None
    except (OSError, ValueError):
        return None


def _cached(told: str) -> int:
    try:
        lines = Path(told).read_text(encoding="ascii").splitlines()
        entries = dict(line.split() for line in lines)
        return max(int(entries.get(name, 0)) for name in _CACHED)
    except (OSError, ValueError):
        return 0
