"""A linear history of numbered records, each created once: ``FOLDER/00000001.json`` and so on.

To append is to create the next number where it is absent. Of several writers one wins each
number; the others read what won and try the next, so every store that can "create if absent"
keeps one history without gaps. A record is wrapped with the SHA-256 of its content, checked at
every load.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raymm.errors import Conflict, RegistryError
from raymm.registry.store import Store

FORMAT = 1
FORMATS = (1, 2)
"""Envelopes that are read. 2 is like 1, and keeps records from readers that would misread them."""
_LIMIT = 16 * 2**20
_ATTEMPTS = 1000
_NUMBERED = re.compile(r"(\d{8})\.json")

Records = Sequence[Mapping[str, Any]]


def encode(record: Mapping[str, Any], *, written: int = FORMAT) -> bytes:
    """Wrap a record with its format version, its hash and a token that no other writer has."""
    text = json.dumps(record, allow_nan=False)
    envelope = {
        "format": written,
        "token": uuid.uuid4().hex,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "record": record,
    }
    return json.dumps(envelope, allow_nan=False).encode()


def decode(data: bytes, path: str) -> dict[str, Any]:
    """Return the record that `encode` wrapped.

    Raises
    ------
    RegistryError
        When it is damaged or of a newer format; ``path`` is named.
    """
    try:
        envelope = json.loads(data)
        written = envelope["format"]
        record = envelope["record"] if written in FORMATS else None
        text = json.dumps(record, allow_nan=False)
        sound = written not in FORMATS or (
            isinstance(record, dict)
            and hashlib.sha256(text.encode()).hexdigest() == envelope["sha256"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"Record {path} is damaged: {error}. Run raymm fsck.") from error
    if written not in FORMATS:
        raise RegistryError(
            f"Record {path} has format {written!r}, but this raymm reads {FORMATS[-1]} at most. "
            "Use a newer one."
        )
    if not sound:
        raise RegistryError(f"Record {path} is damaged: its hash does not fit. Run raymm fsck.")
    return typing.cast(dict[str, Any], record)


class History:
    """The records of one folder, in order.

    Parameters
    ----------
    store : Store
    folder : str
        Such as ``models/churn/versions``; its names must have been checked.
    written : int
        Format of the records that are added.
    """

    def __init__(self, store: Store, folder: str, *, written: int = FORMAT) -> None:
        self._store = store
        self._written = written
        self.folder = folder
        self._known: dict[int, dict[str, Any]] = {}  # records never change, so each is read once

    def path(self, number: int) -> str:
        """Return where the record of that number lies."""
        return f"{self.folder}/{number:08d}.json"

    def numbers(self) -> list[int]:
        """Return the numbers that exist, in order."""
        names = (path.rsplit("/", 1)[-1] for path in self._store.list(self.folder))
        return sorted(int(m.group(1)) for name in names if (m := _NUMBERED.fullmatch(name)))

    def read(self, number: int) -> dict[str, Any]:
        """Return one record; raises NotFound or, when it is damaged, RegistryError."""
        if number not in self._known:
            path = self.path(number)
            self._known[number] = decode(self._store.read(path, limit=_LIMIT), path)
        return dict(self._known[number])

    def records(self) -> list[dict[str, Any]]:
        """Return every record, in order."""
        return [self.read(number) for number in self.numbers()]

    def append(
        self, make: Callable[[int, Records], Mapping[str, Any] | None]
    ) -> Mapping[str, Any] | None:
        """Add the record that ``make`` decides on in view of all that come before it.

        Parameters
        ----------
        make : function of (number, records) to record or None
            Called again with the longer history whenever another writer took the number. It
            returns None where nothing is to be added, or raises.

        Returns
        -------
        The record added, or None where ``make`` returned None.

        Raises
        ------
        Conflict
            When 1000 numbers in a row were taken by other writers.
        """
        for _ in range(_ATTEMPTS):
            numbers = self.numbers()
            records = [self.read(number) for number in numbers]
            number = (numbers[-1] if numbers else 0) + 1
            record = make(number, records)
            if record is None:
                return None
            data = encode(record, written=self._written)
            try:
                self._store.create(self.path(number), data)
            except Conflict:
                # An object store may repeat a request whose answer was lost: then the record
                # that stands there is this very one, with its token.
                if self._store.read(self.path(number), limit=_LIMIT) != data:
                    continue
            return record
        raise Conflict(
            f"Other writers took {_ATTEMPTS} numbers in a row in {self.folder}. Try again later."
        )
