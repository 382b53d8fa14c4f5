"""How a cluster's CPUs and GPUs are shared out among trials that run at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raymm.errors import ClusterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many trials run at once, and what each one gets."""

    workers: int
    cpus: int
    gpus: float = 0.0

    @property
    def threads(self) -> int:
        """Threads that a trial may use."""
        return self.cpus

    @property
    def said(self) -> str:
        """What a trial gets, in words."""
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return cpus + (f" and {self.gpus:g} GPU" if self.gpus else "")

    @property
    def workers_said(self) -> str:
        """How many there are, in words."""
        return "1 worker process" if self.workers == 1 else f"{self.workers} worker processes"


def share(
    nodes: Sequence[Mapping[str, float]],
    *,
    parallel: int | Literal["auto"],
    cpus: int | Literal["auto"] = "auto",
    gpus: float = 0.0,
) -> Share:
    """Share out the resources of a cluster's nodes.

    A trial runs on one node. With ``cpus`` "auto" it gets one CPU, or, where fewer than that many
    trials are to run at once, an equal part of what there is.

    >>> share([{"CPU": 8}], parallel="auto"), share([{"CPU": 8}], parallel=3)
    (Share(workers=8, cpus=1, gpus=0.0), Share(workers=3, cpus=2, gpus=0.0))
    >>> share([{"CPU": 1}, {"CPU": 1}], parallel=1)
    Share(workers=1, cpus=1, gpus=0.0)

    Raises
    ------
    ClusterError
        When no node has what a trial needs; Ray would wait for ever.
    """
    least = 1 if cpus == "auto" else cpus
    _require(nodes, least, gpus)
    if cpus == "auto" and parallel != "auto":
        whole = sum(int(node.get("CPU", 0)) for node in nodes)
        largest = max(int(node.get("CPU", 0)) for node in nodes if node.get("GPU", 0) >= gpus)
        least = max(1, min(whole // parallel, largest))
        while least > 1 and _places(nodes, least, gpus) < parallel:
            least -= 1
    workers = _places(nodes, least, gpus) if parallel == "auto" else parallel
    return Share(workers=workers, cpus=least, gpus=gpus)


def _places(nodes: Sequence[Mapping[str, float]], cpus: int, gpus: float) -> int:
    """Return how many trials fit on the nodes at once."""
    return sum(
        int(
            min(
                node.get("CPU", 0) // cpus,
                node.get("GPU", 0) / gpus if gpus else float("inf"),
            )
        )
        for node in nodes
    )


def _require(nodes: Sequence[Mapping[str, float]], cpus: int, gpus: float) -> None:
    if _places(nodes, cpus, gpus) > 0:
        return
    have = ", ".join(
        f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes
    )
    need = f"{cpus} CPU{'s' if cpus > 1 else ''}" + (f" and {gpus:g} GPUs" if gpus else "")
    raise ClusterError(
        f"A trial needs {need} on one node, but the cluster's nodes have {have or 'nothing'}. Ask "
        "for less (search.cpus, search.gpus), add a node, or give a local cluster more (ray.cpus)."
    )
