"""Brings true labels to the predictions that they belong to, by the predictions' ids.

Labels come late, twice, before their predictions, or never; some belong to no prediction at all.
A prediction waits for its label, and a label that came first waits for its prediction. A label
counts once: of two for one id, the first. Ids are kept as 16-byte hashes, so no state holds what
a client named.

Of labels so many are remembered at most, and the oldest give way. Where more predictions wait than
may, the newest half of them stays whole and the older ones are thinned: those stay whose hash, as
a number from 0 to 1, times their age is least. The chance to stay therefore falls as one over the
age, so that a sample of every age waits, however late the labels; and what versions answered under
one id stays or goes together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from raymm.monitoring.arrays import from_text, to_text
from raymm.monitoring.waiting import KEY_BYTES, Waiting

SURELY_AWAY = 30 * 86400.0
"""Seconds after the last thinning from which a label without a prediction is taken for nobody's."""
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


@dataclass(slots=True)
class _Told:
    """A label that came: its text or number, and the versions it was brought to.

    ``gone`` says of one that was brought to none which of `GONE` its prediction may have been.
    """

    label: Any
    versions: tuple[int, ...] = ()
    gone: str = ""


GONE = ("", "too_late", "unsampled")
"""Why a label may have no prediction here though there was one; in a state each is its place."""
COUNTS = (
    "predictions", "thinned", "repeated", "labels", "joined", "doubled", "expired", "too_late",
    "unsampled", "unreadable",
)  # fmt: skip


class Labels:
    """Predictions that wait for labels, and labels that were told.

    Parameters
    ----------
    most : int
        Predictions that wait, of all versions together, and labels remembered, at most each.

    Attributes
    ----------
    counts : dict of str to int
        predictions: told with an id; thinned: gave way while they waited, as too many did;
        repeated: had an id that was there already, and were passed over; labels: told; joined:
        brought to a prediction, of however many versions; doubled: for an id that has its label;
        expired: without a prediction until they gave way to newer ones; too_late: without a
        prediction, which may have been thinned; unsampled: without a prediction, which may be one
        of those that were never told; unreadable: no class of the target, or no number. Of labels
        each counts once: as joined, doubled, too_late, unsampled, unreadable or `orphaned`.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.counts = dict.fromkeys(COUNTS, 0)
        self._waiting: dict[int, Waiting] = {}
        self._told: OrderedDict[bytes, _Told] = OrderedDict()
        self._next = 0
        self._early = 0  # labels told that no prediction has come to
        self._least = 1.0  # of no hash below it has a prediction been thinned
        self._thinned_at = 0.0
        self._thinned: dict[int, int] = {}
        self._sampled_at: float | None = None  # when not all predictions were told, last

    def waiting(self, version: int) -> int:
        """Return how many predictions of a version wait for a label."""
        return len(self._waiting.get(version, ()))

    def thinned(self, version: int) -> int:
        """Return how many predictions of a version gave way while they waited."""
        return self._thinned.get(version, 0)

    @property
    def orphaned(self) -> int:
        """Labels whose id no prediction has, of those remembered and of those dropped.

        One whose prediction may have been thinned, or not sampled, is none.
        """
        return self._early + self.counts["expired"]

    def sampled(self, now: float) -> None:
        """Note that predictions were not told but for a sample; see `raymm.monitoring.sampling`."""
        self._sampled_at = now

    def _gone(self, key: bytes, now: float) -> str:
        """Return which of `GONE` the prediction of an id may have been that none waits with.

        Where both may be, what happened last is told.
        """
        sampled = self._sampled_at
        unsampled = sampled is not None and now - sampled <= SURELY_AWAY
        thinned = bool(_shares(np.frombuffer(key, "<u8"))[1] >= self._least)
        if unsampled and thinned:
            return "unsampled" if (sampled or 0.0) >= self._thinned_at else "too_late"
        return "unsampled" if unsampled else "too_late" if thinned else ""

    def forget(self, version: int) -> None:
        """Drop what waits of a version that is watched no longer."""
        self._waiting.pop(version, None)
        self._thinned.pop(version, None)

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
        waiting = self._waiting.setdefault(version, Waiting())
        first, count = self._next, len(ids)
        if not count:
            return []
        rows = np.frombuffer(predictions.tobytes(), np.uint8).reshape(count, -1)
        keys = [key_of(name) for name in ids]
        self._next += count
        self.counts["predictions"] += count
        distinct = dict.fromkeys(keys)
        known = not self._told.keys().isdisjoint(distinct.keys()) or waiting.shares_any(distinct)
        staying, found = list(range(count)), []
        if known or len(distinct) < count:
            staying = []
            seen: set[bytes] = set()
            for place, key in enumerate(keys):
                told = self._told.get(key)
                again = key in seen or key in waiting
                if again or (told is not None and version in told.versions):
                    self.counts["repeated"] += 1
                    continue
                truth = None if told is None else self._early_label(version, key, told, read)
                if truth is None:
                    seen.add(key)
                    staying.append(place)
                    continue
                row = rows[place].tobytes()
                found.append(Pair(version, first + place, row, truth, 0.0, _short(key)))
        chosen = np.array(staying, np.int64)
        waiting.add([keys[place] for place in staying], first + chosen, now, rows[chosen])
        if sum(map(len, self._waiting.values())) > self.most:
            self._thin(now)
        return found

    def _early_label(self, version: int, key: bytes, told: _Told, read: Read) -> float | None:
        """Bring a label that came first to its prediction; None where it cannot be read."""
        truth = read(version, told.label)
        if not told.versions:
            self._alone(told, -1)
        if truth is not None:
            self.counts["joined"] += not told.versions
            told.versions += (version,)
        elif not told.versions:
            del self._told[key]  # so that the right one, told later, is no second
            self.counts["unreadable"] += 1
        return truth

    def labelled(
        self, ids: Sequence[str], labels: Sequence[Any], *, now: float, read: Read
    ) -> list[Pair]:
        """Take in labels; return them with the predictions that they belong to."""
        found = []
        if self._least < 1 and now - self._thinned_at > SURELY_AWAY:
            self._least = 1.0
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
            self.counts["joined"] += bool(told.versions)
            if not told.versions:
                told.gone = self._gone(key, now)
                self._alone(told, 1)
        while len(self._told) > self.most:
            _, told = self._told.popitem(last=False)
            if not told.versions and not told.gone:
                self.counts["expired"] += 1
                self._early -= 1
        return found

    def _alone(self, told: _Told, change: int) -> None:
        """Count a label that has no prediction, or has one now."""
        if told.gone:
            self.counts[told.gone] += change
        else:
            self._early += change

    def _thin(self, now: float) -> None:
        """Let predictions give way, ids as a whole, until a quarter of the room is free."""
        waiting = self._waiting
        keys = np.concatenate([one.keys() for one in waiting.values()])
        numbers = np.concatenate([one.numbers() for one in waiting.values()])
        first, group = _grouped(keys, numbers, alone=len(waiting) == 1)
        ages = self._next - numbers[first]
        each = np.bincount(group, minlength=len(first))
        shares = _shares(keys[first, 1])
        half = self.most // 2
        order = np.argsort(ages, kind="stable")
        whole = int(np.searchsorted(np.cumsum(each[order]), half, side="right"))
        room = self.most - (self.most - half) // 2 - int(each[order[:whole]].sum())
        older = order[whole:]
        older = older[np.argsort(shares[older] * ages[older], kind="stable")]
        lost = older[int(np.searchsorted(np.cumsum(each[older]), room, side="right")) :]
        stays = np.ones(len(first), np.bool_)
        stays[lost] = False
        start = 0
        for version, one in waiting.items():
            before = len(one)
            one.keep(stays[group[start : start + before]])
            start += before
            self._thinned[version] = self._thinned.get(version, 0) + before - len(one)
            self.counts["thinned"] += before - len(one)
        self._least = float(shares[lost].min(initial=self._least))
        self._thinned_at = now

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""
        told = self._told.values()
        kinds: dict[tuple[int, ...], int] = {}
        codes = [kinds.setdefault(one.versions, len(kinds)) for one in told]
        return {
            "counts": dict(self.counts),
            "next": self._next,
            "thinning": {
                "least": self._least,
                "at": self._thinned_at,
                "of": {str(v): count for v, count in self._thinned.items()},
                "sampled_at": self._sampled_at,
            },
            "waiting": {str(v): waiting.state() for v, waiting in self._waiting.items()},
            "told": {
                "keys": to_text(np.frombuffer(b"".join(self._told), np.uint8)),
                "labels": [one.label for one in told],
                "versions": [list(kind) for kind in kinds],
                "brought": to_text(np.array(codes, np.int32)),
                "too_late": to_text(np.array([GONE.index(one.gone) for one in told], np.uint8)),
            },
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; raises ValueError where it does not add up.

        A state of before predictions were thinned is read too: those that gave way were counted
        as dropped.
        """
        known = state["counts"]
        counts = dict.fromkeys(COUNTS, 0) | {"thinned": known.get("dropped", 0)} | known
        self.counts |= {name: int(counts[name]) for name in COUNTS}
        self._next = int(state["next"])
        thinning = state.get("thinning", {"least": 1.0, "at": 0.0, "of": {}})
        self._least, self._thinned_at = float(thinning["least"]), float(thinning["at"])
        self._thinned = {int(v): int(count) for v, count in thinning["of"].items()}
        at = thinning.get("sampled_at")  # which older states lack
        self._sampled_at = None if at is None else float(at)
        self._waiting = {int(v): Waiting().restore(one) for v, one in state["waiting"].items()}
        told = state["told"]
        kinds = [tuple(map(int, kind)) for kind in told["versions"]]
        codes = from_text(told["brought"], np.int32).tolist()
        none = to_text(np.zeros(len(codes), np.uint8))
        gone = from_text(told.get("too_late", none), np.uint8).tolist()
        each = zip(_keys(told["keys"]), told["labels"], codes, gone, strict=True)
        self._told = OrderedDict(
            (key, _Told(label, kinds[code], GONE[lost])) for key, label, code, lost in each
        )
        alone = (told for told in self._told.values() if not told.versions)
        self._early = sum(not told.gone for told in alone)
        if "joined" not in known:  # of before it was counted
            others = ("doubled", "too_late", "unsampled", "unreadable")
            rest = sum(self.counts[name] for name in others) + self.orphaned
            self.counts["joined"] = max(self.counts["labels"] - rest, 0)
        return self


def key_of(name: str) -> bytes:
    """Return what stands for an id: `KEY_BYTES` bytes of its hash."""
    text = name.encode() if name.isascii() else name.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=KEY_BYTES).digest()


def _shares(halves: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return halves of hashes as numbers above 0 and at most 1, evenly spread."""
    return (halves.astype(np.float64) + 1.0) / 2**64


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little", signed=True)


def _grouped(
    keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64], *, alone: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the newest place of each distinct key, shape (k,), and each place's key, shape (n,).

    ``keys`` have the shape (n, 2), ``numbers`` (n,); ``alone`` says that no key is there twice.
    """
    if alone:
        every = np.arange(len(keys))
        return every, every
    order = np.lexsort((numbers, keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    ends = np.append((ordered[1:] != ordered[:-1]).any(axis=1), True)
    group = np.empty(len(keys), np.intp)
    group[order] = np.cumsum(ends) - ends
    return order[ends], group


def _keys(text: str) -> list[bytes]:
    data = from_text(text, np.uint8).tobytes()
    return [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]
