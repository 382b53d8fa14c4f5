"""The worked example: two tables that ship with scikit-learn live a whole life.

Iris, the classical first pipeline, is tuned, proven and registered. Breast cancer goes on to be
served on Ray Serve, is asked for predictions over HTTP, sees traffic that has drifted, is watched,
and is stopped.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from raymm import config as configuration
from raymm import lifecycle, service
from raymm.cli import printing
from raymm.cli.watching import show as show_monitor
from raymm.config import home_folder
from raymm.endpoint import Service, ask

_TRIALS = {"demo-iris": 12, "demo-breast-cancer": 24}
_ROWS_A_REQUEST = 50
_WATCHED_ROWS = 1200
_PATIENCE = 30.0


def tables(folder: Path) -> dict[str, tuple[Path, str]]:
    """Write the example tables as CSV files; returns name to (path, target)."""
    from sklearn.datasets import load_breast_cancer, load_iris

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, data, target in (
        ("demo-iris", load_iris(as_frame=True), "species"),
        ("demo-breast-cancer", load_breast_cancer(as_frame=True), "diagnosis"),
    ):
        frame = data.data.copy()
        frame[target] = [str(data.target_names[code]) for code in data.target]
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False)
        written[name] = (path, target)
    return written


def show(out: IO[str], *, as_json: bool = False) -> None:
    """Live the example and print each step to ``out``."""
    storage = str(home_folder())
    started = time.monotonic()
    done: dict[str, Any] = {}
    for name, (path, target) in tables(Path(storage).expanduser() / "demo").items():
        _say(out, as_json, f"\n== raymm run {path} --target {target} --trials {_TRIALS[name]}")
        config = configuration.parse(
            {
                "name": name,
                "data": {"source": str(path), "target": target},
                "search": {"trials": _TRIALS[name], "time": "60s"},
                "storage": storage,
            }
        )
        with printing.progress(quiet=as_json) as notify:
            run = lifecycle.run(config, notify=notify)
        if not as_json:
            printing.run(run)
        done[name] = run.summary()
    served = _serve("demo-breast-cancer", storage, out, as_json)
    seconds = time.monotonic() - started
    _say(out, as_json, f"\nthe demo took {printing.duration(seconds)}; its files are in {storage}")
    if as_json:
        printing.as_json({"runs": done, **served, "seconds": round(seconds, 2)})


def _say(out: IO[str], as_json: bool, text: str) -> None:
    if not as_json:
        print(text, file=out, flush=True)


def _serve(name: str, storage: str, out: IO[str], as_json: bool) -> dict[str, Any]:
    """Serve, ask, drift, watch and stop; returns what was seen."""
    _say(out, as_json, f"\n== raymm deploy {name}")
    ordered = service.order(name, storage, changes={"serving.port": free_port()})
    with service.serving(ordered) as found:
        described = ask(found, f"/v1/models/{name}")
        path = f"/v1/models/{name}/predict"
        answer = ask(found, path, described["example"])
        proxy = "HAProxy" if found.haproxy else "Serve's Python proxy"
        _say(out, as_json, f"served at {found.url} behind {proxy}")
        _say(out, as_json, f"POST {path} with one row answers {answer}")
        frame = pd.read_csv(Path(storage).expanduser() / "demo" / f"{name}.csv")
        sent = _traffic(found, path, frame.drop(columns="diagnosis"))
        _say(out, as_json, f"sent {sent:,} rows, 'mean radius' grown by a fifth in all of them")
        report = _watched(found, name, sent + 1)
        if not as_json:
            show_monitor(name, report)
        _say(out, as_json, "\n== stopping the service")
    return {"answer": answer, "monitor": report, "haproxy": found.haproxy}


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _traffic(found: Service, path: str, frame: pd.DataFrame) -> int:
    """Send rows drawn from the table, one column grown by a fifth; returns how many."""
    generator = np.random.default_rng(0)
    frame = frame.assign(**{"mean radius": frame["mean radius"] * 1.2})
    for _ in range(_WATCHED_ROWS // _ROWS_A_REQUEST):
        rows = frame.iloc[generator.integers(len(frame), size=_ROWS_A_REQUEST)]
        ask(found, path, {"records": rows.to_dict(orient="records")})
    return _WATCHED_ROWS


def _watched(found: Service, name: str, rows: int) -> dict[str, Any]:
    """Wait until the monitor has counted every row sent, and return its report."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        report: dict[str, Any] = ask(found, f"/v1/models/{name}/monitor")["report"]
        if counted(report) >= rows or time.monotonic() > deadline:
            return report
        time.sleep(0.5)


def counted(report: dict[str, Any]) -> int:
    """Return how many rows a monitor's report has counted."""
    return int(report.get("rows", 0))
