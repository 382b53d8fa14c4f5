"""The error tree: every failure that a person can mend, with an exit code and an HTTP status.

::

    RaymmError               1, 500
    ├── ConfigError          2, 400   a configuration file, option or plug-in name is wrong
    │   └── MissingExtra     2, 400   an optional package is not installed
    ├── DataError            3, 422   the table cannot be read or does not fit its schema
    │   ├── TargetError      3, 422   the target does not hold what the task needs
    │   └── InputError       3, 422   one field of a request or row is wrong
    ├── SearchError          4, 500   no trial could be finished
    │   └── ClusterError     4, 503   Ray cannot be reached or lacks what was asked for
    ├── BundleError          4, 500   a graph could not be built, read or trusted
    │   └── ParityError      4, 500   the graph and the trained pipeline disagree
    ├── NotBlessed           5, 409   the model did not pass its checks; nothing was promoted
    ├── RegistryError        6, 500   storage is damaged, full or refuses
    │   ├── NotFound         6, 404   no such model, version or run
    │   └── Conflict         6, 409   the record exists already
    ├── ServingError         6, 500   the service cannot start, answer or stop
    │   ├── Unauthorized     6, 401   no valid token came with the request
    │   ├── TooLarge         6, 413   the body or the number of rows is over the limit
    │   ├── TooSlow          6, 408   the body did not come in time
    │   ├── Unsupported      6, 415   the body is of a kind that is not read
    │   ├── TooOften         6, 429   more requests than one token may send
    │   └── Overloaded       6, 503   the queue is full
    │       ├── LineTooLong  6, 503   it would wait longer for its turn than it may
    │       └── CanaryBusy   6, 503   a canary has no place; the champion answers
    └── Interrupted        130, 503   a person stopped it; the run can be resumed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RaymmError(Exception):
    """Base of the tree. The message states the rule, the value that broke it and the remedy."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    document: Mapping[str, Any] | None = None
    """What a command has found all the same; ``--json`` prints it together with the error."""


class ConfigError(RaymmError):
    """A configuration file, option or plug-in name is wrong."""

    exit_code = 2
    http_status = 400


class MissingExtra(ConfigError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of raymm that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'raymm[{extra}]'"
        )


class DataError(RaymmError):
    """The table cannot be read or does not fit its schema."""

    exit_code = 3
    http_status = 422


class TargetError(DataError):
    """The target does not hold what the task needs.

    Parameters
    ----------
    message : str
        As one reads it who may set ``data.task``.
    holds : str
        What the target holds, such as "has 5 classes: 0, 1, 2, 3, 4", for those who have the task
        from elsewhere and write another remedy.
    """

    def __init__(self, message: str, *, holds: str) -> None:
        self.holds = holds
        super().__init__(message)


class InputError(DataError):
    """One field of a request or row is wrong.

    Parameters
    ----------
    field : str
        Where the value stood, e.g. ``records[3].age``.
    observed : str
        What came, shortened.
    allowed : str
        What is allowed there.
    """

    def __init__(self, *, field: str, observed: str, allowed: str) -> None:
        self.field = field
        self.observed = observed
        self.allowed = allowed
        super().__init__(f"{field} must be {allowed}, but got {observed}.")


class SearchError(RaymmError):
    """No trial could be finished."""

    exit_code = 4


class ClusterError(SearchError):
    """Ray cannot be reached or lacks the resources asked for."""

    http_status = 503


class BundleError(RaymmError):
    """A graph could not be built, read or trusted."""

    exit_code = 4


class ParityError(BundleError):
    """The graph and the trained pipeline disagree by more than the bound."""


class NotBlessed(RaymmError):
    """The model did not pass its checks; nothing was promoted."""

    exit_code = 5
    http_status = 409


class RegistryError(RaymmError):
    """Storage is damaged, full or refuses."""

    exit_code = 6


class NotFound(RegistryError):
    """No such model, version or run."""

    http_status = 404


class Conflict(RegistryError):
    """The record exists already."""

    http_status = 409


class ServingError(RaymmError):
    """The service cannot start, answer or stop."""

    exit_code = 6


class Unauthorized(ServingError):
    """No valid token came with the request."""

    http_status = 401


class TooLarge(ServingError):
    """The body or the number of rows is over the limit."""

    http_status = 413


class TooSlow(ServingError):
    """The body did not come in time."""

    http_status = 408


class Unsupported(ServingError):
    """The body is of a kind, or encoded in a way, that is not read."""

    http_status = 415


class TooOften(ServingError):
    """One token sent more requests than its rate.

    Parameters
    ----------
    message : str
    retry_after : int
        Seconds after which a request will be taken.
    """

    http_status = 429

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Overloaded(ServingError):
    """The queue is full, or an answer would take too long."""

    http_status = 503


class LineTooLong(Overloaded):
    """A request would wait longer for its turn than ``serving.max_wait`` allows."""


class CanaryBusy(Overloaded):
    """No place of the canary's is free: raymm's own limit, which says nothing of the canary."""


class Interrupted(RaymmError):
    """A person stopped it; the run can be resumed."""

    exit_code = 130
    http_status = 503


def status_of(kind: str) -> int:
    """Return the HTTP status of an error by its class name; 500 for any other.

    >>> status_of("InputError"), status_of("ValueError")
    (422, 500)
    """
    found = globals().get(kind)
    if isinstance(found, type) and issubclass(found, RaymmError):
        return found.http_status
    return RaymmError.http_status


def refused_of(counts: Mapping[str, int]) -> int:
    """Return how many errors, counted by class name, are the fault of who asks: those by 4xx.

    >>> refused_of({"InputError": 2, "ServingError": 1}), failed_of({"ServingError": 1})
    (2, 1)
    """
    return sum(count for kind, count in counts.items() if status_of(kind) < 500)


def failed_of(counts: Mapping[str, int]) -> int:
    """Return how many errors, counted by class name, are the service's: those by 5xx.

    A busy canary's are none: the champion answers them.
    """
    busy = counts.get(CanaryBusy.__name__, 0)
    return sum(counts.values()) - refused_of(counts) - busy
