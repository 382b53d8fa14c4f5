"""Whether a model is served, as far as its storage and this machine tell."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from raymm import endpoint
from raymm.artifacts import as_record, from_record
from raymm.errors import NotFound, RegistryError
from raymm.registry.versions import Registry

_log = logging.getLogger(__name__)
_LIMIT = 4096
"""Bytes of a sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """That an application of Serve was built for a model; ``since`` is UTC, ISO 8601."""

    name: str
    since: str
    version: int = 1


def sign(names: Iterable[str], storage: str) -> None:
    """Leave a sign in the storage that models are served, for who asks `known` elsewhere.

    It stays after the service's end, of which nobody is told. Where storage refuses, as one that
    can only be read, that is logged and the service goes on.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        registry = Registry(storage)
        for name in names:
            data = json.dumps(as_record(Sign(name=name, since=since))).encode()
            registry.store.replace(_path(name), data)
    except RegistryError as error:
        _log.warning("no sign of the service is left in storage: %s", error)


def known(name: str, storage: str) -> str:
    """Return how it is known that a model is served, or was; empty where nothing says so.

    What is served is not to be replaced by a version that nobody tried. A service of another
    machine is known by what `raymm keep` decided, by its `sign` and, in storage that machines
    share, by its monitor's copy there. Raises RegistryError where storage cannot be read.
    """
    registry = Registry(storage)
    here = endpoint.find(name)
    if here is not None and here.storage in ("", storage):
        return "a service of it is recorded here"
    if registry.decisions(name).all():
        return "raymm keep tends it"
    now = registry.releases(name).current()
    for role, number in (("canary", now.canary), ("shadow", now.shadow)):
        if number is not None:
            return f"version {number} is its {role}"
    if since := _signed(registry, name):
        return f"a service of it was deployed with this storage {since}"
    if "://" in storage and registry.store.list(f"monitors/{name}"):
        return "a service of it uses this storage, or did"
    return ""


def _signed(registry: Registry, name: str) -> str:
    """Return when a sign says that a model was deployed; empty where there is none."""
    try:
        found = from_record(Sign, json.loads(registry.store.read(_path(name), limit=_LIMIT)))
    except NotFound:
        return ""
    except (ValueError, AttributeError):
        return "at a time that cannot be read"
    return f"at {found.since}"


def _path(name: str) -> str:
    return f"served/{name}.json"
