"""Brings true labels to the predictions that they belong to, by the predictions' ids.

Labels come late, twice, before their predictions, or never; some belong to no prediction at all.
A prediction waits for its label, and a label that came first waits for its prediction. A label
counts once: of two for one id, the first. Of each kind so many are remembered at most; the oldest
are dropped, and counted. Ids are kept as 16-byte hashes, so no state holds what a client named.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from raymm.monitoring.arrays import from_text, to_text

KEY_BYTES = 16
LONGEST_LABEL = 500
"""Characters of a label that is text; a longer one cannot be read."""

Read = Callable[[int, Any], float | None]
"""Takes a version and a label; returns the class code or value, None where it is neither."""


class Pair(NamedTuple):
    """A prediction of a version and its label.

    ``number`` counts predictions in the order in which they were told; ``row`` holds the
    prediction's bytes; ``delay`` is the label's lateness in seconds, 0 where it came first. ``key``
    is the same for what several versions answered under one id; 0 where it is not known.
    """

    version: int
    number: int
    row: bytes
    truth: float
    delay: float
    key: int = 0


class _Waiting(NamedTuple):
    number: int
    told_at: float
    row: bytes


@dataclass(slots=True)
class _Told:
    """A label that came: its text or number, and the versions it was brought to."""

    label: Any
    versions: tuple[int, ...] = ()


COUNTS = ("predictions", "dropped", "repeated", "labels", "doubled", "expired", "unreadable")


class Labels:
    """Predictions that wait for labels, and labels that were told.

    Parameters
    ----------
    most : int
        Predictions that wait, of all versions together, and labels remembered, at most each.

    Attributes
    ----------
    counts : dict of str to int
        predictions: told with an id; dropped: gave way to newer ones while they waited; repeated:
        had an id that was there already, and were passed over; labels: told; doubled: for an id
        that has its label; expired: without a prediction until they gave way to newer ones;
        unreadable: no class of the target, or no number.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.counts = dict.fromkeys(COUNTS, 0)
        self._waiting: dict[int, OrderedDict[bytes, _Waiting]] = {}
        self._told: OrderedDict[bytes, _Told] = OrderedDict()
        self._next = 0
        self._early = 0  # labels told that no prediction has come to

    def waiting(self, version: int) -> int:
        """Return how many predictions of a version wait for a label."""
        return len(self._waiting.get(version, ()))

    @property
    def orphaned(self) -> int:
        """Labels whose id no prediction has, of those remembered and of those dropped."""
        return self._early + self.counts["expired"]

    def forget(self, version: int) -> None:
        """Drop what waits of a version that is watched no longer."""
        self._waiting.pop(version, None)

    def predicted(
        self,
        version: int,
        ids: Sequence[str],
        predictions: npt.NDArray[Any],
        *,
        now: float,
        read: Read,
    ) -> list[Pair]:
        """Take in predictions, a row each id; return those whose labels came before them."""
        data = np.ascontiguousarray(predictions).tobytes()
        width = len(data) // max(len(ids), 1)
        waiting = self._waiting.setdefault(version, OrderedDict())
        found = []
        for place, name in enumerate(ids):
            key = key_of(name)
            number, self._next = self._next, self._next + 1
            self.counts["predictions"] += 1
            told = self._told.get(key)
            if key in waiting or (told is not None and version in told.versions):
                self.counts["repeated"] += 1
                continue
            row = data[place * width : (place + 1) * width]
            truth = None if told is None else read(version, told.label)
            if told is not None and truth is None and not told.versions:
                del self._told[key]  # so that the right one, told later, is no second
                self._early -= 1
                self.counts["unreadable"] += 1
            if told is None or truth is None:
                waiting[key] = _Waiting(number, now, row)
                continue
            self._early -= not told.versions
            told.versions += (version,)
            found.append(Pair(version, number, row, truth, 0.0, _short(key)))
        self._drop_predictions()
        return found

    def labelled(
        self, ids: Sequence[str], labels: Sequence[Any], *, now: float, read: Read
    ) -> list[Pair]:
        """Take in labels; return them with the predictions that they belong to."""
        found = []
        for name, label in zip(ids, labels, strict=False):
            self.counts["labels"] += 1
            if not isinstance(label, str | int | float) or len(str(label)) > LONGEST_LABEL:
                self.counts["unreadable"] += 1
                continue
            key = key_of(name)
            if key in self._told:
                self.counts["doubled"] += 1
                continue
            told = _Told(label)
            holding = [v for v, waiting in self._waiting.items() if key in waiting]
            for version in holding:
                truth = read(version, label)
                if truth is None:
                    continue
                number, told_at, row = self._waiting[version].pop(key)
                told.versions += (version,)
                late = max(now - told_at, 0.0)
                found.append(Pair(version, number, row, truth, late, _short(key)))
            if holding and not told.versions:
                self.counts["unreadable"] += 1
                continue
            self._told[key] = told
            self._early += not told.versions
        while len(self._told) > self.most:
            _, told = self._told.popitem(last=False)
            self.counts["expired"] += not told.versions
            self._early -= not told.versions
        return found

    def _drop_predictions(self) -> None:
        excess = sum(map(len, self._waiting.values())) - self.most
        if excess <= 0:
            return
        self.counts["dropped"] += excess
        held = [waiting for waiting in self._waiting.values() if waiting]
        for _ in range(excess):
            oldest = held[0]
            if len(held) > 1:
                oldest = min(held, key=lambda waiting: next(iter(waiting.values())).number)
            oldest.popitem(last=False)
            if not oldest:
                held = [waiting for waiting in held if waiting]

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""
        told = self._told.values()
        kinds: dict[tuple[int, ...], int] = {}
        codes = [kinds.setdefault(one.versions, len(kinds)) for one in told]
        return {
            "counts": dict(self.counts),
            "next": self._next,
            "waiting": {str(v): _packed(waiting) for v, waiting in self._waiting.items()},
            "told": {
                "keys": to_text(np.frombuffer(b"".join(self._told), np.uint8)),
                "labels": [one.label for one in told],
                "versions": [list(kind) for kind in kinds],
                "brought": to_text(np.array(codes, np.int32)),
            },
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; raises ValueError where it does not add up."""
        self.counts |= {name: int(state["counts"][name]) for name in COUNTS}
        self._next = int(state["next"])
        self._waiting = {int(v): _unpacked(packed) for v, packed in state["waiting"].items()}
        told = state["told"]
        kinds = [tuple(map(int, kind)) for kind in told["versions"]]
        codes = from_text(told["brought"], np.int32).tolist()
        self._told = OrderedDict(
            (key, _Told(label, kinds[code]))
            for key, label, code in zip(_keys(told["keys"]), told["labels"], codes, strict=True)
        )
        self._early = sum(not told.versions for told in self._told.values())
        return self


def key_of(name: str) -> bytes:
    """Return what stands for an id: `KEY_BYTES` bytes of its hash."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little", signed=True)


def _packed(waiting: Mapping[bytes, _Waiting]) -> dict[str, Any]:
    rows = list(waiting.values())
    return {
        "keys": to_text(np.frombuffer(b"".join(waiting), np.uint8)),
        "numbers": to_text(np.array([one.number for one in rows], np.int64)),
        "told_at": to_text(np.array([one.told_at for one in rows], np.float64)),
        "widths": to_text(np.array([len(one.row) for one in rows], np.int32)),
        "rows": to_text(np.frombuffer(b"".join(one.row for one in rows), np.uint8)),
    }


def _unpacked(packed: Mapping[str, Any]) -> OrderedDict[bytes, _Waiting]:
    numbers = from_text(packed["numbers"], np.int64).tolist()
    times = from_text(packed["told_at"], np.float64).tolist()
    widths = from_text(packed["widths"], np.int32).tolist()
    data = from_text(packed["rows"], np.uint8).tobytes()
    if sum(widths) != len(data) or min(widths, default=0) < 0:
        raise ValueError("its predictions do not add up")
    ends = np.cumsum(widths, dtype=np.int64).tolist()
    rows = (data[end - width : end] for end, width in zip(ends, widths, strict=True))
    each = zip(_keys(packed["keys"]), numbers, times, rows, strict=True)
    return OrderedDict((key, _Waiting(number, at, row)) for key, number, at, row in each)


def _keys(text: str) -> Iterator[bytes]:
    data = from_text(text, np.uint8).tobytes()
    return (data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES))
