"""What happens to a model in service, told to a log, a webhook or a command.

An event holds names of models, versions and features and figures, who asked for a training and
why, and no value of any row.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from raymm.sections import EventsConfig

TRIES = 3
MOST_BYTES = 65_536
"""Of one event; longer ones are told without their figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes
    ----------
    kind : str
        What `raymm.monitoring.news` finds in reports: "drift" and "calm", "prediction_drift" and
        "prediction_calm", "quality" and "quality_calm", "calibration" and "calibration_calm"; or a
        step of the loop: "train", "shadow", "canary", "promote", "reject", "fail", "guard",
        "confirm", "rollback".
    at : float
        Seconds since 1970 UTC.
    """

    kind: str
    model: str
    reason: str
    at: float
    number: int | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    def encode(self) -> bytes:
        """Return it as one line of JSON, without the line's end."""
        record = asdict(self)
        line = json.dumps(record, allow_nan=False).encode()
        if len(line) <= MOST_BYTES:
            return line
        short = {**record, "figures": {}, "reason": self.reason[:1000]}
        return json.dumps(short, allow_nan=False).encode()


def tell(
    event: Event, config: EventsConfig, *, sleep: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Tell an event to every place that is configured; returns what failed, in words.

    Nothing is raised: what is told of must not depend on who listens. A webhook and a command are
    tried `TRIES` times, with 1 and 2 seconds between.
    """
    places: list[tuple[str, Callable[[bytes], str]]] = []
    if config.log is not None:
        log = Path(config.log)
        places.append(("log", lambda line: _written(log, line)))
    if config.webhook is not None:
        url = config.webhook
        places.append(("webhook", lambda line: _posted(url, line, config.timeout)))
    if config.command:
        command = list(config.command)
        places.append(("command", lambda line: _run(command, line, config.timeout)))
    line = event.encode()
    failures = []
    for name, deliver in places:
        error = deliver(line)
        for attempt in range(1, TRIES if name != "log" else 1):
            if not error:
                break
            sleep(float(attempt))
            error = deliver(line)
        if error:
            failures.append(f"{name}: {error}")
    return tuple(failures)


def _written(path: Path, line: bytes) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(path, flags, 0o600), "ab") as file:
            file.write(line + b"\n")
    except OSError as error:
        return str(error)
    return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that sends elsewhere is not followed: only the address given was allowed."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        return


def _posted(url: str, line: bytes, timeout: float) -> str:
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked in the configuration
        url, data=line, method="POST", headers={"content-type": "application/json"}
    )
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return "" if answer.status < 300 else f"answered {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"answered {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'reason', error)}"


def _run(command: list[str], line: bytes, timeout: float) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a list of the user's own, and no shell
            command,
            input=line,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if done.returncode == 0 else f"ended with {done.returncode}"
