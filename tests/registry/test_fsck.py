from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raymm.registry.fsck import fsck
from raymm.registry.store import blob_path
from raymm.registry.versions import Registry


def filled(uri: str) -> Registry:
    registry = Registry(uri)
    for n in (1, 2, 3):
        registry.register(
            "churn", b"b%d" % n, run=f"r{n}", blessed=True, summary={}, parts={"audit": b"a%d" % n}
        )
        registry.promote("churn", n, reason="")
    return registry


def test_a_sound_registry_has_no_findings(uri: str) -> None:
    assert fsck(Registry(uri)) == []
    filled(uri)
    assert fsck(Registry(uri)) == []


@pytest.mark.slow
def test_every_damage_is_found(tmp_path: Path) -> None:
    version = filled(str(tmp_path)).version("churn", 2)
    folder = tmp_path / "models" / "churn"
    damages = {
        "missing": (tmp_path / blob_path(version.bundle)).unlink,
        "damaged": lambda: (tmp_path / blob_path(version.parts["audit"])).write_bytes(b"x"),
        "later ones exist": (folder / "versions/00000002.json").unlink,
        "cannot be read": lambda: (folder / "promotions/00000003.json").write_bytes(b"{"),
        "no file of a registry": lambda: (folder / "notes.txt").write_text("hello"),
    }
    kept = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for statement, damage in damages.items():
        damage()
        errors = [f.statement for f in fsck(Registry(str(tmp_path))) if f.severity == "error"]
        assert any(statement in error for error in errors), (statement, errors)
        for path in [p for p in tmp_path.rglob("*") if p.is_file() and p not in kept]:
            path.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
        assert fsck(Registry(str(tmp_path))) == []


@pytest.mark.slow
def test_a_promotion_of_a_version_that_is_not_there_is_found(tmp_path: Path) -> None:
    filled(str(tmp_path))
    (tmp_path / "models/churn/versions/00000003.json").unlink()
    findings = fsck(Registry(str(tmp_path)))
    assert any("releases churn@3, which does not exist" in f.statement for f in findings)


@pytest.mark.slow
def test_unreferenced_blobs_are_counted_and_kept(uri: str) -> None:
    registry = filled(uri)
    sha256 = registry.store.put_blob(b"orphan")
    (note,) = fsck(registry, repair=True)
    assert (note.severity, note.statement) == ("note", "1 blob(s) belong to no version.")
    assert registry.store.get_blob(sha256) == b"orphan"


def test_strays_go_only_with_repair(tmp_path: Path) -> None:
    registry = filled(str(tmp_path))
    import socket

    stray = tmp_path / ".staging" / f"{socket.gethostname().replace('.', '-')}.{2**22 + 1}.x"
    stray.write_bytes(b"half")
    (found,) = fsck(registry)
    assert (found.severity, found.repaired) == ("warning", False)
    assert stray.exists()
    assert fsck(registry, repair=True)[0].repaired
    assert fsck(registry) == []


KILLER = """
import json, os, random, signal, sys, time
from raymm.registry.fsck import fsck
from raymm.registry.versions import Registry

def write(told, attempt):
    registry = Registry(uri)
    n = 0
    while True:
        n += 1
        version = registry.register("churn", os.urandom(100_000), run=f"{attempt}-{n}",
            blessed=True, summary={}, parts={"report": os.urandom(50_000)})
        registry.promote("churn", version.number, reason="")
        os.write(told, b"%d\\n" % version.number)

uri = sys.argv[1]
moments = random.Random(0)
for attempt in range(20):
    reading, told = os.pipe()
    child = os.fork()
    if not child:
        write(told, attempt)
    os.close(told)
    time.sleep(moments.uniform(0.001, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    last = ([0] + [int(line) for line in os.fdopen(reading).read().split()])[-1]
    registry = Registry(uri)
    errors = [f.statement for f in fsck(registry) if f.severity == "error"]
    versions = registry.versions("churn") if registry.models() else ()
    whole = all(
        len(registry.bundle(v)) == 100_000 and len(registry.part(v, "report")) == 50_000
        for v in versions
    )
    print(json.dumps([errors, whole, len(versions) >= last, len(versions)]), flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_no_half_version(tmp_path: Path) -> None:
    uri = str(tmp_path / "storage")
    lines = subprocess.run(
        [sys.executable, "-c", KILLER, uri], check=True, capture_output=True, text=True, timeout=120
    ).stdout.splitlines()
    attempts = [json.loads(line) for line in lines]
    assert len(attempts) == 20
    for errors, whole, durable, _ in attempts:
        assert errors == []
        assert whole
        assert durable  # what the writer was told is there
    assert attempts[-1][3] > 5  # the kills did hit writers at work
    registry = Registry(uri)
    fsck(registry, repair=True)
    assert {finding.severity for finding in fsck(registry)} <= {"note"}
