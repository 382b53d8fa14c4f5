"""What a person asks of the loop that keeps a model: to train now, and to try what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raymm import prediction
from raymm.config import home_folder
from raymm.registry.versions import Registry
from raymm.registry.wishes import Asked
from raymm.sole import held

_BUSY = {"train": "a training", "shadow": "a trial", "canary": "a trial", "guard": "a comparison"}
"""What goes on after a step of the loop, until the next one that is written down."""
_ROLES = {"shadow": "shadow", "canary": "canary", "guard": "champion"}
"""What its version is meanwhile; where that has changed, it is over."""


def lock_of(name: str) -> Path:
    """Return the file that is locked while a loop of this home keeps a model."""
    return home_folder() / "loops" / f"{name}.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request.

    Attributes
    ----------
    request : Asked
        As it is recorded.
    kept : bool
        Whether a loop of this home keeps the model now. One of another machine may, all the same.
    busy : str
        What the loop did last, where it does not watch since and the request waits for its end.
    """

    request: Asked
    kept: bool
    busy: str


def ask(name: str, storage: str, *, reason: str = "", source: str = "") -> Answer:
    """Ask whoever keeps a model, on any machine with this storage, to train and try it.

    Parameters
    ----------
    source : str
        The data to train on; empty for what the loop trains on.

    Raises
    ------
    NotFound
        When there is no such model, or it has no champion to be kept.
    ConfigError
        When the reason is too long.
    """
    registry = Registry(storage)
    prediction.champion(registry, name)
    request = registry.wishes(name).add(reason=reason, source=source)
    return Answer(request=request, kept=held(lock_of(name)), busy=_busy(registry, name))


def _busy(registry: Registry, name: str) -> str:
    for last in registry.decisions(name).all()[-1:]:
        role = "" if last.number is None else registry.releases(name).current().role(last.number)
        if last.action in _BUSY and role == _ROLES.get(last.action, role):
            of = "" if last.number is None else f" of version {last.number}"
            return f"{_BUSY[last.action]}{of}, since {last.created}"
    return ""
