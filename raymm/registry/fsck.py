"""Check a registry: every record, every blob, every number, every promotion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raymm.artifacts import Version, from_record
from raymm.errors import ConfigError, NotFound, RegistryError
from raymm.registry.decisions import Decision
from raymm.registry.history import History
from raymm.registry.releases import Change, released
from raymm.registry.store import check_name
from raymm.registry.versions import Registry
from raymm.registry.wishes import Asked

_RECORD = re.compile(r"models/([^/]+)/(versions|promotions|decisions|wishes)/\d{8}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that `fsck` saw.

    Attributes
    ----------
    severity : str
        "error" where something is lost or wrong, "warning" where something can be cleaned, or
        "note" where nothing needs to be done.
    path : str
        The file meant, relative to the storage.
    repaired : bool
        Whether it was mended now.
    """

    severity: Literal["error", "warning", "note"]
    path: str
    statement: str
    repaired: bool = False


def fsck(registry: Registry, *, repair: bool = False) -> list[Finding]:
    """Check everything that is stored, reading every byte of it.

    Parameters
    ----------
    repair : bool
        Remove the staging files that killed writers left. Nothing else is ever changed.

    Returns
    -------
    list of Finding
        Empty where all is well. Blobs that no version refers to (a writer was killed before its
        record, or is at work now) are counted in one note.
    """
    findings: list[Finding] = []
    names: set[str] = set()
    for path in registry.store.list("models"):
        match = _RECORD.fullmatch(path)
        if match and _is_name(match.group(1)):
            names.add(match.group(1))
        else:
            findings.append(_error(path, "is no file of a registry. Move it elsewhere."))
    used: set[str] = set()
    for name in sorted(names):
        findings += _check_model(registry, name, used)
    findings += _check_blobs(registry, used)
    for path in registry.store.strays():
        if repair:
            registry.store.remove_stray(path)
        findings.append(
            Finding(
                severity="warning",
                path=path,
                statement=f"{path} is a staging file of a writer that was killed.",
                repaired=repair,
            )
        )
    return findings


def _check_model(registry: Registry, name: str, used: set[str]) -> list[Finding]:
    findings: list[Finding] = []
    versions = History(registry.store, f"models/{name}/versions")
    promotions = History(registry.store, f"models/{name}/promotions")
    parsed: dict[int, Version] = {}
    for number, record in _records(versions, findings).items():
        path = versions.path(number)
        try:
            version = from_record(Version, record)
        except (ValueError, TypeError) as error:
            findings.append(_error(path, f"cannot be read: {error}"))
            continue
        parsed[number] = version
        if version.number != number or version.name != name:
            findings.append(_error(path, f"speaks of {version.name}@{version.number}."))
        for sha256 in (version.bundle, *version.parts.values()):
            findings += _check_reference(registry, sha256, path, used)
    for kind, folder in ((Decision, "decisions"), (Asked, "wishes")):
        _check_told(name, kind, History(registry.store, f"models/{name}/{folder}"), findings)
    return findings + _check_release(name, promotions, set(parsed))


def _check_told(
    name: str, kind: type[Decision | Asked], history: History, findings: list[Finding]
) -> None:
    """Check a history whose records need only be read and stand in their places."""
    for number, record in _records(history, findings).items():
        path = history.path(number)
        try:
            told = from_record(kind, record)
        except (ValueError, TypeError) as error:
            findings.append(_error(path, f"cannot be read: {error}"))
            continue
        if told.sequence != number or told.name != name:
            findings.append(_error(path, f"speaks of {told.name}, {told.sequence}."))


def _check_release(name: str, history: History, versions: set[int]) -> list[Finding]:
    """Check each change of what is served, and, where all can be read, that they follow."""
    findings: list[Finding] = []
    sound: list[Change] = []
    for number, record in _records(history, findings).items():
        path = history.path(number)
        try:
            change = from_record(Change, record)
        except (ValueError, TypeError) as error:
            findings.append(_error(path, f"cannot be read: {error}"))
            continue
        sound.append(change)
        if change.number not in versions:
            findings.append(_error(path, f"releases {name}@{change.number}, which does not exist."))
        if change.sequence != number or change.name != name:
            findings.append(_error(path, f"speaks of {change.name}, {change.sequence}."))
    if not findings:
        try:
            released(name, sound)
        except RegistryError as error:
            findings.append(_error(history.folder, f"does not hold together. {error}"))
    return findings


def _records(history: History, findings: list[Finding]) -> Mapping[int, dict[str, Any]]:
    numbers = history.numbers()
    gaps = sorted(set(range(1, (numbers[-1] if numbers else 0) + 1)) - set(numbers))
    findings += [_error(history.path(number), "is missing; later ones exist.") for number in gaps]
    found: dict[int, dict[str, Any]] = {}
    for number in numbers:
        try:
            found[number] = history.read(number)
        except RegistryError as error:
            findings.append(_error(history.path(number), f"cannot be read: {error}"))
    return found


def _check_reference(registry: Registry, sha256: str, path: str, used: set[str]) -> list[Finding]:
    if sha256 in used:
        return []
    used.add(sha256)
    try:
        registry.store.get_blob(sha256)
    except NotFound:
        return [_error(path, f"refers to blob {sha256}, which is missing.")]
    except RegistryError as error:
        return [_error(path, f"refers to a blob that cannot be used. {error}")]
    return []


def _check_blobs(registry: Registry, used: set[str]) -> list[Finding]:
    unreferenced = [
        path for path in registry.store.list("blobs") if path.rsplit("/", 1)[-1] not in used
    ]
    if not unreferenced:
        return []
    statement = f"{len(unreferenced)} blob(s) belong to no version."
    return [Finding(severity="note", path="blobs", statement=statement)]


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except ConfigError:
        return False


def _error(path: str, statement: str) -> Finding:
    return Finding(severity="error", path=path, statement=f"{path} {statement}")
