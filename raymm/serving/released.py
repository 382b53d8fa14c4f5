"""A model as it is released: its champion, a canary and a shadow, kept up with the registry.

A change is followed in the background. What it names is loaded and rehearsed
(`raymm.serving.rehearsal`) and only then swapped in, all at once, so that each request sees the
release before or the one after. A version that fails leaves what was serving as it is: it is
logged, told, and taken out of the release where that is allowed. The change is acknowledged when
no request is left that began before it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from raymm.artifacts import Predictions, Release, Reliability
from raymm.errors import RegistryError, ServingError
from raymm.serving.rehearsal import Care, Refused, rehearsed, require_pace
from raymm.serving.routing import falls_to_canary
from raymm.serving.sources import Served, unknown, unserved
from raymm.serving.turnstile import Turnstile

_FETCHES = 3
"""Times that a replica which starts tries to have a bundle, and that a damaged one is read."""
_RETRY_SECONDS = 1.0
_KEPT = 2
"""Versions that stay loaded without a role, for a rollback."""

_log = logging.getLogger("raymm.serving")


class Shelf(Protocol):
    """Where a replica finds what is released; asked from one thread."""

    def look(self, name: str) -> Release:
        """Return what is to be served now; may raise, and is asked again later."""

    def fetch(self, name: str, number: int) -> bytes:
        """Return a version's bundle, its hash checked."""

    def reliability(self, name: str, number: int) -> Reliability | None:
        """Return how often a version's probabilities came true, None where that is not known."""

    def predictions(self, name: str, number: int) -> Predictions | None:
        """Return what a version predicted on test rows, None where that is not known."""

    def refuse(self, name: str, number: int, *, since: int, reason: str) -> None:
        """Take a version that failed out of the release that it has had since a change."""

    def history(self, name: str) -> Mapping[str, Any]:
        """Return "versions" and "changes", newest first, as plain values; from any thread."""


Tell = Callable[[str, Mapping[str, Any]], None]
"""Called with the model's name and how this replica stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What answers now, and the release it was made for."""

    release: Release
    champion: Served
    canary: Served | None = None
    shadow: Served | None = None

    def all(self) -> tuple[Served, ...]:
        return tuple(one for one in (self.champion, self.canary, self.shadow) if one is not None)


class ReleasedModel:
    """One model of a service; what it serves follows the shelf.

    Parameters
    ----------
    shelf : Shelf
    poll : float
        Seconds between two looks.
    care : Care
    turnstile : Turnstile
        Through which every request goes.
    tell : Tell or None
        Told at each look; may take its time, and must not raise.
    """

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        *,
        poll: float = 2.0,
        care: Care | None = None,
        turnstile: Turnstile | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.name = name
        self.shelf = shelf
        self._poll = poll
        self._care = care or Care()
        self._turnstile = turnstile or Turnstile()
        self._tell = tell or (lambda _, __: None)
        self._standing: _Standing | None = None
        self._loaded: dict[int, Served] = {}
        self._refused: dict[int, tuple[int, str]] = {}
        self._missed: dict[int, int] = {}
        self._followed: int | None = None
        self._acknowledged = -1
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure = ""

    # ------------------------------------------------------------------------ asked by requests

    @property
    def served(self) -> Served | None:
        """The champion; None before the first is loaded."""
        standing = self._standing
        return None if standing is None else standing.champion

    def route(self, identity: str) -> Served | None:
        """Return the version that answers a prediction of that name."""
        standing = self._standing
        if standing is None or standing.canary is None:
            return None if standing is None else standing.champion
        release, canary = standing.release, standing.canary
        if falls_to_canary(identity, release.share, canary.number):
            return canary
        return standing.champion

    def at(self, number: int) -> Served:
        """Return a version that has a role; raises NotFound for any other."""
        standing = self._standing
        loaded = standing.all() if standing is not None else ()
        for one in loaded:
            if one.number == number:
                return one
        raise unserved(self.name, number, tuple(one.number for one in loaded))

    def shadow(self) -> Served | None:
        """Return the shadow that is to see what the champion answers."""
        standing = self._standing
        return None if standing is None else standing.shadow

    # ----------------------------------------------------------------------------- in background

    def start(self) -> None:
        """Load what is released and begin to follow its changes in a daemon thread.

        A champion that cannot be had is tried again; where it is refused, those before it are
        tried.

        Raises
        ------
        ServingError
            When there is no version to serve, or none can be loaded.
        """
        self._tell(self.name, self.report())
        self.refresh()
        for _ in range(_FETCHES - 1):
            if self._standing is None and self._missed:
                self._stopped.wait(min(self._poll, _RETRY_SECONDS))
                self.refresh()
        if self._standing is None:
            told = self.failure or "no version is promoted"
            raise ServingError(
                f'model "{self.name}" cannot be served: {told}. '
                f"Promote a version with: raymm promote {self.name} NUMBER"
            )
        self._thread = threading.Thread(target=self._look, name="raymm-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what was loaded goes on serving."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=self._poll + 1)

    def _look(self) -> None:
        while not self._stopped.wait(self._poll):
            self.refresh()

    def refresh(self) -> bool:
        """Look once for a change; returns whether what is served changed. Never raises."""
        changed = False
        try:
            release = self.shelf.look(self.name)
            changed = self._follow(release)
            self._settle(release)
        except Exception as error:  # storage that is away must not end the service
            self._note(f"the release cannot be read: {type(error).__name__}: {error}")
        self._tell(self.name, self.report())
        return changed

    def _follow(self, release: Release) -> bool:
        before = self._standing
        self._missed = {n: times for n, times in self._missed.items() if release.role(n)}
        if before is not None and before.release == release and not self._missed:
            return False
        self.failure = ""
        if before is not None and before.release.champion != release.champion:
            self._followed = release.champion
        champion = self._champion(release, before)
        if champion is None:
            return False
        standing = _Standing(
            release=release,
            champion=champion,
            canary=self._ready(release.canary, release),
            shadow=self._ready(release.shadow, release),
        )
        served = [one.number for one in standing.all()]
        changed = before is None or served != [one.number for one in before.all()]
        if before is None or standing.canary is not before.canary:
            for one in standing.all():  # a canary and its champion are compared from here on
                one.tally.clear()
        self._standing = standing
        self._turnstile.turn()
        self._forget(standing)
        if changed:
            _log.warning("%s: serves %s now (change %d)", self.name, served, release.sequence)
        return changed

    def _champion(self, release: Release, before: _Standing | None) -> Served | None:
        """Return the release's champion, or else who reigns here, or else who did before."""
        if release.champion is not None:
            # One that cannot be had just now is waited for; only a refused one gives way.
            for number in (release.champion, *(release.earlier if before is None else ())):
                found = self._ready(number, release)
                if found is not None and self._keeps_pace(found, release, before):
                    return found
                if number in self._missed:
                    break
        return None if before is None else before.champion

    def _keeps_pace(self, version: Served, release: Release, before: _Standing | None) -> bool:
        """Whether a version may take over; one that is too slow is refused."""
        if before is None or version is before.champion or release.insisted:
            return True
        if self._refused.get(version.number, (-1, ""))[0] == release.sequence:
            return False
        try:
            require_pace(version, before.champion, self._care)
            return True
        except Refused as error:
            self._refuse(version.number, release, str(error))
            return False

    def _ready(self, number: int | None, release: Release) -> Served | None:
        """Return a version loaded and rehearsed, or None where that fails or there is none."""
        if number is None:
            return None
        if number in self._loaded:
            return self._loaded[number]
        if self._refused.get(number, (-1, ""))[0] == release.sequence:
            return None
        try:
            data = self.shelf.fetch(self.name, number)
        except Exception as error:
            self._missed[number] = self._missed.get(number, 0) + 1
            told = f"its bundle cannot be had: {type(error).__name__}: {error}"
            self._note(f"version {number}: {told}")
            damaged = isinstance(error, RegistryError) and "damaged" in str(error)
            if damaged and self._missed[number] >= _FETCHES:
                self._refuse(number, release, told)
            return None
        self._missed.pop(number, None)
        try:
            served = rehearsed(self.name, number, data, self._care)
        except Refused as error:
            self._refuse(number, release, str(error))
            return None
        reliability = self.shelf.reliability(self.name, number)
        predictions = self.shelf.predictions(self.name, number)
        self._loaded[number] = replace(served, reliability=reliability, predictions=predictions)
        return self._loaded[number]

    def _refuse(self, number: int, release: Release, reason: str) -> None:
        self._missed.pop(number, None)
        self._refused[number] = (release.sequence, reason)
        self._note(f"version {number} is refused: {reason}")
        role = release.role(number)
        if not role or (role == "champion" and number != self._followed):
            return  # a champion that reigns elsewhere is not ended by the trouble of one replica
        try:
            self.shelf.refuse(self.name, number, since=release.sequence, reason=reason)
        except Exception as error:
            _log.error("%s: the refusal cannot be recorded: %s", self.name, error)

    def _settle(self, release: Release) -> None:
        """Acknowledge the release when it is followed and nobody is left who came before it."""
        standing = self._standing
        if standing is None or standing.release != release or self._missed:
            return
        deadline = time.monotonic() + self._poll
        while not self._turnstile.clear():
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)
        self._acknowledged = release.sequence

    def _forget(self, standing: _Standing) -> None:
        """Let go of versions without a role, but the last few."""
        needed = {one.number for one in standing.all()}
        for number in sorted(needed & self._loaded.keys()):
            self._loaded[number] = self._loaded.pop(number)  # the last used stand last
        spare = [number for number in self._loaded if number not in needed]
        for number in spare[: max(0, len(spare) - _KEPT)]:
            del self._loaded[number]
        for number in sorted(self._refused)[:-20]:
            del self._refused[number]

    def _note(self, failure: str) -> None:
        if failure != self.failure:
            serving = self._standing.champion.number if self._standing is not None else None
            _log.error("%s: %s; version %s goes on serving", self.name, failure, serving)
        self.failure = failure

    def report(self) -> dict[str, Any]:
        """Return how this replica stands, as plain values.

        ``sequence`` is the last change that was followed and after which nobody was left from
        before it; -1 before the first. ``refused`` are the versions that failed, by number.
        """
        standing = self._standing
        release = standing.release if standing is not None else Release(name=self.name)
        served = standing.all() if standing is not None else ()
        return {
            "sequence": self._acknowledged,
            "champion": standing.champion.number if standing is not None else None,
            "canary": standing.canary.number if standing and standing.canary else None,
            "share": release.share if standing and standing.canary else 0.0,
            "shadow": standing.shadow.number if standing and standing.shadow else None,
            "refused": {
                str(number): {"sequence": sequence, "reason": reason}
                for number, (sequence, reason) in self._refused.items()
            },
            "failure": self.failure,
            "pid": os.getpid(),
            "counts": {str(one.number): one.tally.counts().record() for one in served},
        }


class ReleasedModels:
    """Several models as one source (see `raymm.serving.sources.ModelSource`)."""

    def __init__(self, *models: ReleasedModel) -> None:
        self._models = {one.name: one for one in models}

    def names(self) -> tuple[str, ...]:
        """Return the models' names, sorted."""
        return tuple(sorted(self._models))

    def get(self, name: str) -> Served:
        """Return the champion of that model; raises NotFound."""
        model = self._models.get(name)
        served = model.served if model is not None else None
        if served is None:
            raise unknown(name, self.names())
        return served

    def route(self, name: str, identity: str) -> Served:
        """Return the version that answers a prediction of that name; raises NotFound."""
        model = self._models.get(name)
        served = model.route(identity) if model is not None else None
        if served is None:
            raise unknown(name, self.names())
        return served

    def at(self, name: str, number: int) -> Served:
        """Return one version of a model, whatever its role; raises NotFound."""
        if name not in self._models:
            raise unknown(name, self.names())
        return self._models[name].at(number)

    def shadow(self, name: str) -> Served | None:
        """Return the model's shadow, or None."""
        model = self._models.get(name)
        return None if model is None else model.shadow()

    def history(self, name: str) -> Mapping[str, Any]:
        """Return what the shelf knows of a model's versions and changes."""
        return self._models[name].shelf.history(name)

    def start(self) -> None:
        """Load every model; raises ServingError where one has nothing to serve."""
        for model in self._models.values():
            model.start()

    def stop(self) -> None:
        """Stop following changes."""
        for model in self._models.values():
            model.stop()

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return how each model stands here."""
        return {name: model.report() for name, model in self._models.items()}
