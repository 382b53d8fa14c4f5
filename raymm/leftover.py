"""What a service that was killed leaves behind: its HAProxy, which goes on holding the ports.

Ray ends what it started when the process that started it is killed, but Serve's HAProxy is a child
of one of Ray's actors, and lives on when that dies. So a service puts its own process into the
environment that Ray, and by it HAProxy, is started in; an HAProxy is ended only when that process
is gone and no actor is its parent. Where the system has no ``/proc``, nothing is found or ended.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from raymm.endpoint import started_at

VARIABLE = "RAYMM_OWNER"
"""Of HAProxy's environment: who started Ray, as the process's number and its start in ticks."""
_PROC = Path("/proc")
_PATIENCE = 3.0
"""Seconds for an HAProxy to end when asked to, before it is killed."""
_LISTENS = "0A"


@contextlib.contextmanager
def owned() -> Iterator[None]:
    """Mark what is started while the ``with`` lasts as this process's own."""
    pid = os.getpid()
    os.environ[VARIABLE] = f"{pid}:{started_at(pid):.0f}"
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)


def orphans() -> tuple[int, ...]:
    """Return the HAProxy processes of this user whose service was killed, by their numbers.

    One is that when its owner is gone and its parent is no actor of Ray. Those of another
    container, whose processes are numbered otherwise, do not count, nor do those whose environment
    cannot be read.
    """
    return tuple(pid for pid in _pids() if _orphaned(pid))


def end() -> tuple[int, ...]:
    """End the `orphans`, and return them when they are gone or have had their time."""
    found = {pid: started_at(pid) for pid in orphans()}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _living(found):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _PATIENCE
        while _living(found) and time.monotonic() < deadline:
            time.sleep(0.02)
    return tuple(found)


def holder(host: str, port: int) -> tuple[int, str] | None:
    """Return the number and name of the process that listens at a port of this machine.

    None where nobody does, or only one of another user.

    Parameters
    ----------
    host : str
        As it is bound: "" and "0.0.0.0" are every address.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening(host, port)}
    for pid in _pids() if inodes else ():
        with contextlib.suppress(OSError):
            if _holds(pid, inodes):
                return pid, _name(pid)
    return None


def _holds(pid: int, inodes: set[str]) -> bool:
    for one in (_PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed since it was listed
            if os.readlink(one) in inodes:
                return True
    return False


def _pids() -> list[int]:
    """Return this user's processes."""
    found = []
    with contextlib.suppress(OSError):
        for path in _PROC.iterdir():
            with contextlib.suppress(OSError):
                if path.name.isdecimal() and path.stat().st_uid == os.geteuid():
                    found.append(int(path.name))
    return sorted(found)


def _living(found: dict[int, float]) -> list[int]:
    return [pid for pid, started in found.items() if started_at(pid) == started != 0.0]


def _name(pid: int) -> str:
    return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()


def _orphaned(pid: int) -> bool:
    at = _PROC / str(pid)
    try:
        if _name(pid) != "haproxy":
            return False
        given = (at / "environ").read_bytes().split(b"\0")
        same = os.readlink(at / "ns" / "pid") == os.readlink(_PROC / "self" / "ns" / "pid")
        parent = int((at / "stat").read_text().rpartition(")")[2].split()[1])
        above = (_PROC / str(parent) / "cmdline").read_bytes() if parent else b""
    except (OSError, ValueError, IndexError):
        return False
    told = dict(one.decode(errors="replace").partition("=")[::2] for one in given)
    owner, _, started = told.get(VARIABLE, "").partition(":")
    if not (same and owner.isdecimal() and started.isdecimal()):
        return False
    return started_at(int(owner)) != float(started) and not above.startswith(b"ray::")


def _listening(host: str, port: int) -> set[str]:
    """Return the inodes of the sockets that listen at a port and keep ``host`` from it."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError, ValueError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].rpartition(":")
                if fields[3] == _LISTENS and int(number, 16) == port and _meet(host, address):
                    found.add(fields[9])
    return found


def _meet(host: str, listed: str) -> bool:
    """Whether a server at ``host`` and one at an address of the kernel's table exclude each other.

    >>> _meet("127.0.0.1", "0100007F"), _meet("127.0.0.1", "0200007F"), _meet("", "0200007F")
    (True, False, True)
    >>> _meet("127.0.0.1", "0000000000000000FFFF00000100007F")  # ::ffff:127.0.0.1
    True
    """
    raw = bytes.fromhex(listed)
    step = -1 if sys.byteorder == "little" else 1
    words = [raw[at : at + 4][::step] for at in range(0, len(raw), 4)]
    there = _plain(ipaddress.ip_address(b"".join(words)))
    try:
        here = _plain(ipaddress.ip_address(host.strip("[]") or "0.0.0.0"))  # noqa: S104 - compared
    except ValueError:
        return True  # a name
    return here == there or here.is_unspecified or there.is_unspecified


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an IPv4 address that is written as one of IPv6 as what it is."""
    return getattr(address, "ipv4_mapped", None) or address
