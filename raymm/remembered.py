"""What a model's monitor knew when it was written last, told without a service."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raymm.config import home_folder
from raymm.errors import NotFound, RegistryError
from raymm.monitoring.copied import MOST_BYTES
from raymm.monitoring.observer import Observer, saved_at
from raymm.registry.shared import SharedFile
from raymm.sections import MonitoringConfig


def last_known(name: str, storage: str) -> Mapping[str, Any] | None:
    """Return the report of a model's monitor as it was written last; None where nothing was.

    It is read from this machine's state file or its copy in the storage, whichever is the later,
    as a monitor that starts here goes on from that. ``served`` is False in it, and ``saved_at``
    when it was written (seconds since 1970 UTC; 0 where that is not told). Nothing is changed.

    Raises
    ------
    RegistryError
        When storage does not answer, or what is there cannot be read.
    """
    found = [*_here(name), *_away(name, storage)]
    readable = [(at, data) for data in found if (at := saved_at(data)) is not None]
    if not readable:
        if found:
            raise RegistryError(f"what the monitor of {name} has left is damaged.")
        return None
    at, data = max(readable, key=lambda one: one[0])
    return {**_report(name, data, at), "served": False, "saved_at": at}


def _here(name: str) -> list[bytes]:
    folder = home_folder() / "monitors" / name
    try:
        return [path.read_bytes() for path in sorted(folder.glob("*.json"))]
    except OSError as error:
        raise RegistryError(f"{folder} cannot be read: {error.strerror}.") from error


def _away(name: str, storage: str) -> list[bytes]:
    try:
        return [SharedFile(storage=storage, path=f"monitors/{name}/state.json").read(MOST_BYTES)]
    except NotFound:
        return []


def _report(name: str, data: bytes, at: float) -> Mapping[str, Any]:
    """Return what an observer that goes on from a state reports; it reads a file of its own."""
    with tempfile.TemporaryDirectory(prefix="raymm-monitor-") as folder:
        path = Path(folder) / "state.json"
        path.write_bytes(data)
        made = Observer(name, config=_config(data), path=path, clock=lambda: at)
    report = made.report()
    if not report:
        raise RegistryError(f"what the monitor of {name} has left holds no version.")
    return report


def _config(data: bytes) -> MonitoringConfig:
    """Return the configuration that a state was written under; the default of an older one."""
    try:
        known = json.loads(data.partition(b"\n")[2] or b"{}").get("config")
        return MonitoringConfig.model_validate(known or {})
    except (ValueError, ValidationError):
        return MonitoringConfig()
