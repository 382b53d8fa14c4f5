"""Tells how much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

_DEFAULT = 8 * 2**30
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


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


def _group(limit: str, used: str) -> int | None:
    try:
        most = Path(limit).read_text(encoding="ascii").strip()
        taken = Path(used).read_text(encoding="ascii").strip()
        return max(1, int(most) - int(taken)) if most != "max" else None
    except (OSError, ValueError):
        return None
