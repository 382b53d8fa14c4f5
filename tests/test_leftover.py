"""An HAProxy whose service was killed is found and ended, and no other process is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from raymm import leftover
from raymm.endpoint import started_at

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
    pytest.mark.usefixtures("own_orphans"),
]

SERVES = """
import signal, socket, sys, time
if {deaf}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = socket.create_server(("127.0.0.1", 0))
print(held.getsockname()[1], flush=True)
time.sleep(60)
"""


@contextmanager
def listening(folder, mark, *, name="haproxy", deaf=False):
    """A process of a name that listens, with a mark in its environment; its pid and port."""
    program = Path(folder, name)
    if not program.exists():
        program.symlink_to(Path(sys.executable).resolve())
    given = {**os.environ, leftover.VARIABLE: mark}
    command = [program, "-S", "-c", SERVES.format(deaf=deaf)]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child, int(child.stdout.readline())
        finally:
            child.kill()


def gone():
    """The mark of a process that has ended."""
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        mark = f"{child.pid}:{started_at(child.pid):.0f}"
        child.communicate(b"\n")
    return mark


def own():
    return f"{os.getpid()}:{started_at(os.getpid()):.0f}"


@pytest.mark.parametrize("deaf", [False, True])
def test_one_whose_service_was_killed_is_ended_even_if_it_does_not_listen_to_that(
    tmp_path, monkeypatch, deaf
):
    monkeypatch.setattr(leftover, "_PATIENCE", 0.3)
    with listening(tmp_path, gone(), deaf=deaf) as (child, port):
        assert leftover.holder("127.0.0.1", port) == (child.pid, "haproxy")
        assert child.pid in leftover.end()
        assert child.wait(5) == (-9 if deaf else -15)
    assert leftover.holder("127.0.0.1", port) is None


def test_a_number_that_was_given_to_another_process_is_not_the_owner(tmp_path):
    with listening(tmp_path, f"{os.getpid()}:1") as (child, _):
        assert child.pid in leftover.orphans()


def test_another_s_mark_makes_none_an_orphan_of_this_one(tmp_path, monkeypatch):
    with listening(tmp_path, gone()) as (child, _):
        monkeypatch.setattr(leftover, "VARIABLE", "RAYMM_OWNER_OF_ANOTHER")
        assert child.pid not in leftover.orphans()


@pytest.mark.parametrize("mark", ["", "x", "1", ":", "-3:5", "3:5.5"])
def test_without_a_whole_mark_nothing_is_an_orphan(tmp_path, mark):
    with listening(tmp_path, mark) as (child, _):
        assert child.pid not in leftover.orphans()


def test_that_of_a_living_service_and_other_programs_are_left_alone(tmp_path):
    with (
        listening(tmp_path, own()) as (lives, _),
        listening(tmp_path, gone(), name="nginx") as (other, _),
    ):
        assert not {lives.pid, other.pid} & {*leftover.end()}
        time.sleep(0.1)
        assert lives.poll() is other.poll() is None


def test_one_that_an_actor_of_ray_holds_is_left_alone(tmp_path):
    """Its service may be one that another process took over."""
    program = tmp_path / "haproxy"
    program.symlink_to(Path(sys.executable).resolve())
    inner = (
        f"import subprocess; subprocess.run([{str(program)!r}, '-S', '-c', 'print(1); input()'])"
    )
    given = {**os.environ, leftover.VARIABLE: gone()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    for title in ("ray::ProxyActor", "python"):
        command = [title, "-S", "-u", "-c", inner]
        with subprocess.Popen(command, executable=sys.executable, env=given, **pipes) as actor:
            children = Path(f"/proc/{actor.pid}/task/{actor.pid}/children")
            while not (below := children.read_text().split()):
                time.sleep(0.01)
            while Path(f"/proc/{below[0]}/comm").read_text().strip() != "haproxy":
                time.sleep(0.01)
            assert (int(below[0]) in leftover.orphans()) == (title == "python")
            actor.communicate(b"\n")


def test_what_a_service_starts_is_marked_as_its_own_only_while_it_starts():
    with leftover.owned():
        assert os.environ[leftover.VARIABLE] == own()
    assert leftover.VARIABLE not in os.environ


def test_who_holds_a_port_at_another_address_is_not_in_the_way(tmp_path):
    with listening(tmp_path, "") as (child, port):
        for host in ("127.0.0.1", "", "0.0.0.0", "localhost"):
            assert leftover.holder(host, port) == (child.pid, "haproxy")
        assert leftover.holder("127.0.0.2", port) is None
        assert leftover.holder("127.0.0.1", port + 1 if port < 65535 else 1) is None


def test_a_holder_is_found_though_it_closes_another_file_meanwhile(tmp_path, monkeypatch):
    closed, readlink = [], os.readlink

    def one_is_gone(path):
        if f"/{child.pid}/fd/" in str(path) and not closed:
            closed.append(path)
            raise FileNotFoundError(path)
        return readlink(path)

    with listening(tmp_path, "") as (child, port):
        monkeypatch.setattr(os, "readlink", one_is_gone)
        assert leftover.holder("127.0.0.1", port) == (child.pid, "haproxy")
        assert closed


def test_a_holder_is_found_at_an_ipv4_address_that_it_writes_as_ipv6():
    with socket.socket(socket.AF_INET6) as held:
        try:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            held.bind(("::ffff:127.0.0.1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        held.listen()
        port = held.getsockname()[1]
        assert leftover.holder("127.0.0.1", port)[0] == os.getpid()
        assert leftover.holder("127.0.0.2", port) is None
