"""Versions of models, their promotions, and the champion among them.

A version is registered blobs first and its record last, so what can be seen is complete.
Promotions are a history of their own. The reigning champion is the version of the last record.
A rollback takes the last promotion back, as one takes back the top of a pile: a second rollback
goes further back, and never to and fro.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from raymm.artifacts import Version, as_record, from_record
from raymm.errors import ConfigError, NotBlessed, NotFound, RegistryError
from raymm.registry.history import History, Records
from raymm.registry.store import Store, blob_path, check_name

PART_LIMIT = 2**30
_KEY = re.compile(r"[a-z][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One change of the champion.

    Attributes
    ----------
    sequence : int
        Its place in the history, from 1.
    number : int
        The version that became champion.
    previous : int or None
        The champion before it.
    action : str
        "promote" or "rollback".
    forced : bool
        Whether the version was not blessed and was promoted all the same.
    created : str
        UTC, ISO 8601.
    """

    name: str
    sequence: int
    number: int
    previous: int | None
    action: Literal["promote", "rollback"]
    reason: str
    forced: bool
    created: str
    version: int = 1


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

    def _history(self, name: str, kind: Literal["versions", "promotions"]) -> History:
        folder = f"models/{check_name(name)}/{kind}"
        return self._histories.setdefault(folder, History(self.store, folder))

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
        """Return a version's bundle file, its hash checked."""
        return self.store.get_blob(version.bundle, limit=version.bundle_bytes)

    def part(self, version: Version, key: str) -> bytes:
        """Return another blob of a version, its hash checked; raises NotFound on a wrong key."""
        if key not in version.parts:
            place = f"part of {version.name}@{version.number}"
            raise NotFound(_unknown(place, key, version.parts))
        return self.store.get_blob(version.parts[key], limit=PART_LIMIT)

    # ----------------------------------------------------------------------------- promotions

    def promote(
        self, name: str, number: int, *, reason: str = "", force: bool = False
    ) -> Promotion:
        """Make a version the champion.

        A version that reigns already stays so and its last record is returned.

        Parameters
        ----------
        reason : str
            Kept in the record; required with ``force``.
        force : bool
            Promote although the version is not blessed.

        Raises
        ------
        NotBlessed
            When the version did not pass its checks and ``force`` is not set.
        ConfigError
            When ``force`` is set without a reason.
        NotFound
            When the version does not exist.
        RegistryError
            When the bundle's blob is missing or damaged.
        """
        version = self.version(name, number)
        if not version.blessed and not force:
            raise NotBlessed(
                f"{name}@{number} did not pass its checks, so it is not promoted. Read its "
                "blessing, or promote it with --force and a reason."
            )
        forced = force and not version.blessed
        if forced and not reason.strip():
            raise ConfigError("A forced promotion needs a reason. Give one with --reason.")
        self.bundle(version)

        def decide(pile: list[int]) -> tuple[int, bool] | None:
            return None if pile and pile[-1] == number else (number, forced)

        return self._change(name, "promote", reason, decide)

    def rollback(self, name: str, *, reason: str = "") -> Promotion:
        """Make the champion before the reigning one the champion again.

        Raises
        ------
        NotFound
            When the model is not known, or there is no champion to go back to.
        RegistryError
            When the bundle's blob to go back to is missing or damaged.
        """
        self.versions(name)

        def decide(pile: list[int]) -> tuple[int, bool]:
            if len(pile) < 2:
                state = f"{name}@{pile[-1]} is the first" if pile else "none was ever promoted"
                raise NotFound(
                    f'Model "{name}" has no earlier champion to go back to: {state}. '
                    "Promote a version instead."
                )
            self.bundle(self.version(name, pile[-2]))
            return pile[-2], False

        return self._change(name, "rollback", reason, decide)

    def _change(
        self,
        name: str,
        action: Literal["promote", "rollback"],
        reason: str,
        decide: Callable[[list[int]], tuple[int, bool] | None],
    ) -> Promotion:
        history = self._history(name, "promotions")
        chosen: list[Promotion] = []

        def make(sequence: int, records: Records) -> Mapping[str, Any] | None:
            pile = _pile(records)
            decision = decide(pile)
            if decision is None:
                chosen[:] = [from_record(Promotion, records[-1])]
                return None
            promotion = Promotion(
                name=name,
                sequence=sequence,
                number=decision[0],
                previous=pile[-1] if pile else None,
                action=action,
                reason=reason,
                forced=decision[1],
                created=self._now(),
            )
            chosen[:] = [promotion]
            return as_record(promotion)  # type: ignore[no-any-return]

        history.append(make)
        return chosen[0]

    def champion(self, name: str) -> Version | None:
        """Return the reigning version, or None where none was promoted yet or the model is new."""
        history = self._history(name, "promotions")
        numbers = history.numbers()
        if not numbers:
            return None
        return self.version(name, int(history.read(numbers[-1])["number"]))

    def promotions(self, name: str) -> tuple[Promotion, ...]:
        """Return the history of champions, oldest first; empty where none was promoted."""
        history = self._history(name, "promotions")
        return tuple(from_record(Promotion, record) for record in history.records())


def _version(record: Mapping[str, Any], history: History) -> Version:
    try:
        version = from_record(Version, record)
    except ValueError as error:
        raise RegistryError(f"A record in {history.folder} cannot be read: {error}") from error
    for sha256 in (version.bundle, *version.parts.values()):
        blob_path(sha256)
    return version


def _pile(records: Records) -> list[int]:
    """Return the champions that rollbacks can reach, the reigning one last."""
    pile: list[int] = []
    for record in records:
        if record["action"] == "rollback":
            pile.pop()
        else:
            pile.append(int(record["number"]))
    return pile


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    listed = ", ".join(names[:20]) or "none yet"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f'{kind} "{name}" is not known.{hint} Known: {listed}{more}.'


def _ranges(numbers: list[int]) -> str:
    return f"only {numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
