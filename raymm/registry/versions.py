"""Versions of models, and which of them are released: champion, canary, shadow.

A version is registered blobs first and its record last, so what can be seen is complete.
Changes of the release are a history of their own, see `raymm.registry.releases`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from raymm.artifacts import Version, as_record, from_record
from raymm.errors import ConfigError, NotFound, RegistryError
from raymm.registry.decisions import Decisions
from raymm.registry.history import FORMAT, History, Records
from raymm.registry.releases import FORMAT as RELEASE_FORMAT
from raymm.registry.releases import Change, Releases
from raymm.registry.store import Store, TooLong, blob_path, check_name
from raymm.registry.wishes import Wishes

PART_LIMIT = 2**30
_KEY = re.compile(r"[a-z][a-z0-9._-]{0,62}")


def version_of(named: str, number: int | None = None) -> tuple[str, int | None]:
    """Return the name and number of NAME@NUMBER; of a name alone, ``number``, which may be None.

    Raises
    ------
    ConfigError
        When what follows the sign is no number, or another one than is given.

    >>> version_of("churn@3"), version_of("churn"), version_of("churn", 2)
    (('churn', 3), ('churn', None), ('churn', 2))
    """
    name, at, told = named.partition("@")
    if not at:
        return name, number
    if not (told.isascii() and told.isdecimal() and len(told) < 10):
        raise ConfigError(f'a version is written NAME@NUMBER, such as churn@3, not "{named}".')
    if number not in (None, int(told)):
        raise ConfigError(
            f"{named} names version {told}, but {number} is given too. Leave one out."
        )
    return name, int(told)


class Registry:
    """The models in one storage.

    Parameters
    ----------
    uri : str
        As `raymm.registry.store.Store` takes it.
    clock : function to datetime, optional
        Gives the time written into records.
    """

    def __init__(
        self, uri: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.uri = uri
        self.store = Store(uri)
        self._clock = clock
        self._histories: dict[str, History] = {}

    def _history(
        self, name: str, kind: Literal["versions", "promotions", "decisions", "wishes"]
    ) -> History:
        folder = f"models/{check_name(name)}/{kind}"
        written = RELEASE_FORMAT if kind == "promotions" else FORMAT
        return self._histories.setdefault(folder, History(self.store, folder, written=written))

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="seconds")

    # ------------------------------------------------------------------------------- versions

    def register(
        self,
        name: str,
        bundle_bytes: bytes,
        *,
        run: str,
        blessed: bool,
        summary: Mapping[str, Any],
        parts: Mapping[str, bytes],
    ) -> Version:
        """Store a bundle and its parts as the model's next version.

        The same run, bundle and blessing again give the version that exists, so a run that was
        killed here can simply be repeated. Judged otherwise, by another goal, it is another
        version.

        Raises
        ------
        ConfigError
            When the model's name or a part's name is not allowed.
        RegistryError
            When storage refuses, is full or is damaged.
        """
        history = self._history(name, "versions")
        for key in parts:
            if not _KEY.fullmatch(key):
                raise ConfigError(f"A part's name must match {_KEY.pattern}, but got {key[:80]!r}.")
        bundle = self.store.put_blob(bundle_bytes)
        hashes = {key: self.store.put_blob(data) for key, data in parts.items()}
        chosen: list[Version] = []

        def make(number: int, records: Records) -> Mapping[str, Any] | None:
            known = (run, bundle, bool(blessed))
            same = [r for r in records if (r["run"], r["bundle"], r["blessed"]) == known]
            version = Version(
                name=name,
                number=number,
                bundle=bundle,
                bundle_bytes=len(bundle_bytes),
                run=run,
                blessed=bool(blessed),
                created=self._now(),
                summary=as_record(summary),
                parts=hashes,
            )
            chosen[:] = [from_record(Version, same[0]) if same else version]
            return None if same else as_record(version)

        history.append(make)
        return chosen[0]

    def models(self) -> tuple[str, ...]:
        """Return the names of all models that have a version, sorted."""
        paths = (path.split("/") for path in self.store.list("models"))
        return tuple(sorted({p[1] for p in paths if len(p) == 4 and p[2] == "versions"}))

    def versions(self, name: str) -> tuple[Version, ...]:
        """Return a model's versions, oldest first; raises NotFound when there is no such model."""
        history = self._history(name, "versions")
        records = history.records()
        if not records:
            raise NotFound(_unknown("model", name, self.models()))
        return tuple(_version(record, history) for record in records)

    def version(self, name: str, number: int) -> Version:
        """Return one version; raises NotFound when the model or the number does not exist."""
        history = self._history(name, "versions")
        numbers = history.numbers()
        if not numbers:
            raise NotFound(_unknown("model", name, self.models()))
        if number not in numbers:
            raise NotFound(f'Model "{name}" has no version {number}. It has {_ranges(numbers)}.')
        return _version(history.read(number), history)

    def bundle(self, version: Version) -> bytes:
        """Return a version's bundle file, its hash checked; more bytes than it had are damage."""
        try:
            return self.store.get_blob(version.bundle, limit=version.bundle_bytes)
        except TooLong as error:
            place = f"{version.name}@{version.number}"
            raise RegistryError(
                f"The bundle of {place} is damaged: {error} Restore it from a backup, or register "
                "the model again."
            ) from error

    def part(self, version: Version, key: str) -> bytes:
        """Return another blob of a version, its hash checked; raises NotFound on a wrong key."""
        if key not in version.parts:
            place = f"part of {version.name}@{version.number}"
            raise NotFound(_unknown(place, key, version.parts))
        return self.store.get_blob(version.parts[key], limit=PART_LIMIT)

    # ----------------------------------------------------------------------------- promotions

    def releases(self, name: str) -> Releases:
        """Return what is served of a model, and the ways to change it."""
        return Releases(
            name,
            self._history(name, "promotions"),
            version=partial(self.version, name),
            check=self.bundle,
            now=self._now,
        )

    def promote(self, name: str, number: int, *, reason: str = "", force: bool = False) -> Change:
        """Make a version the champion; see `Releases.promote`."""
        return self.releases(name).promote(number, reason=reason, force=force)

    def rollback(self, name: str, *, reason: str = "") -> Change:
        """Make the champion before the reigning one the champion again; see `Releases.rollback`."""
        self.versions(name)
        return self.releases(name).rollback(reason=reason)

    def champion(self, name: str) -> Version | None:
        """Return the reigning version, or None where none was promoted yet or the model is new."""
        number = self.releases(name).current().champion
        return None if number is None else self.version(name, number)

    def decisions(self, name: str) -> Decisions:
        """Return what the loop that keeps a model good decided."""
        return Decisions(name, self._history(name, "decisions"), now=self._now)

    def wishes(self, name: str) -> Wishes:
        """Return what persons asked of that loop."""
        return Wishes(name, self._history(name, "wishes"), now=self._now)

    def promotions(self, name: str) -> tuple[Change, ...]:
        """Return the changes of the champion, oldest first; empty where none was promoted."""
        made = self.releases(name).changes()
        return tuple(one for one in made if one.action in ("promote", "rollback"))


def _version(record: Mapping[str, Any], history: History) -> Version:
    try:
        version = from_record(Version, record)
    except ValueError as error:
        raise RegistryError(f"A record in {history.folder} cannot be read: {error}") from error
    for sha256 in (version.bundle, *version.parts.values()):
        blob_path(sha256)
    return version


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    listed = ", ".join(names[:20]) or "none yet"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f'{kind} "{name}" is not known.{hint} Known: {listed}{more}.'


def _ranges(numbers: list[int]) -> str:
    return f"only {numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
