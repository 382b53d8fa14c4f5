"""What persons ask of the loop that keeps a model good."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """That the model is trained now, and what is trained tried.

    Attributes
    ----------
    numbers : tuple of int
        Of the requests, in the registry's history of them, that one training answers.
    told : str
        Who asks and why, such as "ann@desk: new prices".
    source : str
        The data to train on; empty for the loop's own.
    claim : str
        The loop's word for itself in that history: what was taken up with it is its own.
    tries : int
        How often the training has begun, as it goes on where a loop was killed in it or it failed.
    after : float
        Not before, in seconds since 1970 UTC: where it failed, what made it fail may pass.
    """

    numbers: tuple[int, ...]
    told: str
    source: str = ""
    claim: str = ""
    tries: int = 0
    after: float = 0.0
