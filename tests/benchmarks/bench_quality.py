"""How good raymm's models are against the field's, at equal time on the same rows.

Each table is searched for ``--seconds`` on two cores by raymm, with no setting but the target,
and by the peers of `quality_peers.py`, one after another, each alone in a process. raymm's test
rows are everybody's test rows, and its training rows everybody's training rows. Printed: the score
on the test rows, seconds of fitting, bytes to ship, milliseconds for one row. Bars:

- raymm's mean rank is the best (AutoGluon's ``best_quality`` is shown, not ranked);
- it beats FLAML on at least two tables of three;
- no score is worse than the best single-model peer's (LightGBM's own, Optuna's) by more than 1 %,
  relative.

    make bench-quality
    python tests/benchmarks/bench_quality.py [TABLE …] [--seconds 60] [--seeds 1]

Tables are CSV or Parquet files of ``--data``; the targets of the shared ones are known, others are
given as FILE:TARGET. Peers live in an environment of their own (``--peers``), since theirs and
raymm's pins differ. The time of raymm is that of the search, as of every peer: the proof of the
winner, its explanation and its report come on top and are shown as ``whole``. What its quick tries
of features take, the search has less.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from quality_peers import PEERS, score

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "adult": ("income", {}),
    "telco_churn": ("Churn", {}),
    "california_housing": ("median_house_value", {}),
    "bike_sharing_hour": ("cnt", {"exclude": ["casual", "registered"]}),
    "letter": ("class", {}),
    "elec2": ("class", {}),
    "sms_spam": ("label", {}),
    "iris": ("species", {}),
}
SINGLE = ("optuna-lightgbm", "lightgbm-default")
SHOWN = ("autogluon-best",)


def raymm(folder: Path, source: str, target: str, settings: dict[str, Any], how: Any) -> dict:
    """Run raymm's whole life, and leave its split and predictions for the others."""
    import raymm as package
    from raymm.bundle.run import Runner

    began = time.perf_counter()
    home = tempfile.mkdtemp(prefix="raymm-quality-")
    run = package.run(
        source,
        target=target,
        time=how.seconds,
        seed=how.seed,
        storage=home,
        progress=False,
        **settings,
    )
    whole = time.perf_counter() - began
    dataset = run.dataset
    frame = dataset.frame.drop(columns=settings.get("exclude", []))
    names = {"train": dataset.train, "test": dataset.test}
    schema = dataset.schema
    known = np.array(schema.classes)[dataset.y] if schema.classes else dataset.y
    text = io.StringIO(frame.assign(**{target: known}).to_csv(index=False))
    frame = pd.read_csv(text)  # as the peers' users read it
    if schema.classes:
        frame[target] = known
    for name, rows in names.items():
        frame.iloc[rows].reset_index(drop=True).to_parquet(folder / f"{name}.parquet")
    metric = run.summary()["metric"]
    about = {"target": target, "task": schema.task, "metric": metric}
    about["classes"] = list(schema.classes)
    (folder / "about.json").write_text(json.dumps(about))
    np.save(folder / "truth.npy", dataset.y[dataset.test])
    runner = Runner(run.bundle, threads=2)
    np.save(folder / "raymm.npy", runner.predict(dataset.rows(dataset.test)))
    times = []
    for place in range(20):
        row = dataset.rows(dataset.test[[place % len(dataset.test)]])
        start = time.perf_counter()
        runner.predict(row)
        times.append(1000 * (time.perf_counter() - start))
    summary = run.summary()
    return {
        "fit_seconds": summary["search_seconds"],
        "whole": whole,
        "bytes": summary["bundle_bytes"],
        "row_ms": float(np.median(times)),
        "best": summary["best"]["family"],
        "trials": summary["trials"],
    }


def contest(source: str, target: str, settings: dict[str, Any], how: Any) -> dict[str, dict]:
    """Return what each contestant reached on one table and seed, or how it failed."""
    with tempfile.TemporaryDirectory(prefix="raymm-quality-") as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--alone", str(folder), "--seconds", str(how.seconds)]
        command += ["--seed", str(how.seed), f"{source}:{target}:{json.dumps(settings)}"]
        found = {"raymm": _told(command, 20 * how.seconds + 600)}
        if "error" in found["raymm"]:
            return found
        about = json.loads((folder / "about.json").read_text())
        peers = str(Path(how.peers) / "bin" / "python")
        script = str(Path(__file__).with_name("quality_peers.py"))
        for peer in how.contestants.split(","):
            command = [peers, script, peer, str(folder), str(how.seconds), str(how.seed)]
            found[peer] = _told(command, 5 * how.seconds + 300)
        truth = np.load(folder / "truth.npy")
        for peer, told in found.items():
            if "error" not in told:
                told["score"] = score(about, truth, np.load(folder / f"{peer}.npy"))
                told["metric"] = about["metric"]
    return found


def _told(command: list[str], limit: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} s"}
    if done.returncode or not done.stdout.strip():
        return {"error": (done.stderr or done.stdout).strip()[-300:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def show(table: str, found: dict[str, dict]) -> None:
    """Print a table's contestants, the best first."""
    for peer, told in sorted(found.items(), key=lambda item: -item[1].get("score", -np.inf)):
        if "error" in told:
            print(f"{table:20} {peer:18} FAILED: {told['error']}")
            continue
        more = f"whole {told['whole']:.0f} s, {told['best']}" if "whole" in told else ""
        print(
            f"{table:20} {peer:18} {told['metric']:8} {abs(told['score']):11.5g}  "
            f"{told['fit_seconds']:6.1f} s  {told['bytes'] / 1e6:8.3f} MB  "
            f"{told['row_ms']:8.3f} ms  {more}",
            flush=True,
        )


def judge(all_found: list[tuple[str, dict[str, dict]]]) -> int:
    """Hold the whole against the bars; return how many are missed."""
    ranks: dict[str, list[float]] = {}
    wins = played = missed = 0
    for table, found in all_found:
        scores = {p: t["score"] for p, t in found.items() if "score" in t and p not in SHOWN}
        if "raymm" not in scores:
            print(f"{table}: raymm gave no score: MISSED")
            missed += 1
            continue
        placed = pd.Series(scores).rank(ascending=False)
        for peer, rank in placed.items():
            ranks.setdefault(str(peer), []).append(float(rank))
        if "flaml" in scores:
            played += 1
            wins += scores["raymm"] > scores["flaml"]
        single = max((scores[peer] for peer in SINGLE if peer in scores), default=-np.inf)
        worse = (single - scores["raymm"]) / abs(single)
        if worse > 0.01:
            print(f"{table}: {worse:.1%} worse than the best single model: MISSED")
            missed += 1
    means = {peer: float(np.mean(values)) for peer, values in ranks.items()}
    print("mean ranks: " + ", ".join(f"{p} {r:.2f}" for p, r in sorted(means.items(), key=_second)))
    if len(means) < 2 or min(means, key=lambda peer: means[peer]) != "raymm":
        print("raymm's mean rank is not the first: MISSED")
        missed += 1
    print(f"ahead of FLAML on {wins} of {played} tables")
    if not played or wins < 2 * played / 3:
        print("not ahead of FLAML on two tables of three: MISSED")
        missed += 1
    return missed


def _second(item: tuple[str, float]) -> float:
    return item[1]


def main() -> int:
    """Print the whole; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=list(TABLES))
    parser.add_argument("--data", default=str(DATA))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--peers", default=str(ROOT / ".venv-quality"))
    parser.add_argument("--contestants", default=",".join(PEERS))
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        source, target, settings = given.tables[0].split(":", 2)
        print(json.dumps(raymm(Path(given.alone), source, target, json.loads(settings), given)))
        return 0
    if not (Path(given.peers) / "bin" / "python").exists():
        print(f"the peers are not at {given.peers}: make .venv-quality/ready")
        return 2
    results = []
    for table in given.tables:
        name, _, target = table.partition(":")
        known, settings = TABLES.get(name, (target, {}))
        source = name if Path(name).exists() else str(Path(given.data) / f"{name}.csv")
        if not Path(source).exists():
            print(f"{name}: {source} is not here; not measured")
            continue
        for seed in range(given.seeds):
            given.seed = seed
            results.append((name, contest(source, target or known, settings, given)))
            show(Path(name).stem, results[-1][1])
    if not results:
        print("no table was there; nothing was measured")
        return 2
    return int(judge(results) > 0)


if __name__ == "__main__":
    sys.exit(main())
