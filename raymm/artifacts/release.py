"""Compressed candidates, lineage, registered versions, and which of them are served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raymm.artifacts.kinds import Config
from raymm.artifacts.proof import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One compressed form of a bundle, measured on validation rows.

    Attributes
    ----------
    technique : str
        Its compressor's name, or "none" for the bundle as it was; "prune+quantize" where one was
        applied after the other.
    parameters : mapping
        What to hand to the compressor to make it again; of several, each begins with its
        compressor's name, such as "quantize.bits".
    score : float
        The goal's metric.
    loss : Score
        Paired loss against the bundle as it was, in the metric's unit, positive is worse.
    bytes : int
        The bundle file's size.
    row_microseconds : float
        Median time of one row through the graph, one thread.
    slow_microseconds : float
        99th percentile of it; 0 in records of older versions, as are the two below.
    thousand_microseconds : float
        Time of a thousand rows in one call, one thread.
    graph_bytes : int
        The graph's own bytes, which it is loaded from.
    heap_bytes : int
        Memory that it takes once onnxruntime has loaded it, by the C library's count; 0 where that
        does not tell, and in records of older versions.
    over_control : Score or None
        What it is better by than its control (see `raymm.compression.compressor`), paired, in the
        metric's unit, positive is better; None where it has none. It is chosen only where the low
        end is above 0.
    """

    technique: str
    parameters: Config
    score: float
    loss: Score
    bytes: int
    row_microseconds: float
    chosen: bool = False
    slow_microseconds: float = 0.0
    thousand_microseconds: float = 0.0
    graph_bytes: int = 0
    heap_bytes: int = 0
    over_control: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Every candidate of compression and the loss that was allowed.

    The bounds of the candidates' losses hold for all of them at once. ``left_out`` names forms that
    were not measured, or could not be chosen whatever the metric loses, and says why.
    """

    candidates: tuple[Candidate, ...]
    metric: str
    max_loss: float
    rows: int
    left_out: tuple[str, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a bundle comes from: enough to make it again. Holds no clock time.

    Attributes
    ----------
    ledger : str
        SHA-256 over the finished trials' configurations and values.
    configuration : mapping
        The run's configuration as plain JSON.
    trial : mapping
        The trial that won, as a record without its times.
    recipe : mapping
        What was made of the trials (`raymm.artifacts.Recipe`); empty for that trial alone.
    packages : mapping
        Versions of the libraries that made it.
    """

    run: str
    data_sha256: str
    source: str
    seed: int
    ledger: str
    configuration: Mapping[str, Any]
    trial: Mapping[str, Any]
    packages: Mapping[str, str]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version of a model.

    Attributes
    ----------
    number : int
        From 1, without gaps.
    bundle : str
        SHA-256 of the bundle file, under which its blob is stored.
    created : str
        UTC, ISO 8601.
    summary : mapping
        What ``raymm models`` and ``--json`` print of it: metric, score, family and so on.
    parts : mapping of name to SHA-256
        Other blobs of the version: evaluation, blessing, frontier, explanation, audit, report.
    """

    name: str
    number: int
    bundle: str
    bundle_bytes: int
    run: str
    blessed: bool
    created: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Which versions of a model are served, and to whom; a version has one role at most.

    Attributes
    ----------
    sequence : int
        Number of the last change in the model's history; 0 before the first.
    champion : int or None
        The version that answers.
    canary : int or None
        A version that answers a ``share`` of the requests instead, in (0, 1).
    shadow : int or None
        A version that computes answers to every request which nobody but the monitor sees.
    earlier : tuple of int
        The champions that rollbacks reach, the next one first.
    insisted : bool
        Whether the champion takes over however slow it is: its promotion was asked for with force,
        or it was gone back to.
    """

    name: str
    sequence: int = 0
    champion: int | None = None
    canary: int | None = None
    share: float = 0.0
    shadow: int | None = None
    earlier: tuple[int, ...] = ()
    insisted: bool = False

    def role(self, number: int) -> str:
        """Return "champion", "canary" or "shadow"; empty for a version that has no role."""
        for role in ("champion", "canary", "shadow"):
            if getattr(self, role) == number:
                return role
        return ""
