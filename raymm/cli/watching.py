"""What a person reads of a monitor's report, and the command that keeps a model good."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from raymm.cli import options, printing
from raymm.counts import counted
from raymm.errors import RaymmError, status_of

if TYPE_CHECKING:
    from raymm.endpoint import Service

_ROWS = 30
_REASONS = {"distribution": "PSI", "location": "moved", "unlisted": "unseen"}
"""What reasons are called here; others have their own names."""
_EARLY = " in the open window"
_LABELS = {
    "joined": "joined",
    "orphaned": "of no known id",
    "unsampled": "of predictions that were not sampled, if of any",
    "too_late": "too late, as their predictions were kept no more",
    "doubled": "twice",
    "unreadable": "no class or number",
}
"""What became of labels; each is counted once."""


@click.command()
@click.argument("name")
@click.argument("source")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any key.")
@click.option("--url", default="", help="Address of the service, where it runs elsewhere.")
@click.option("--token", envvar="RAYMM_TOKEN", default="", help="Its token; default RAYMM_TOKEN.")
@click.option("--now", is_flag=True, help="Train at once, as raymm retrain NAME --trial asks.")
@options.storage_option
def keep(
    name: str,
    source: str,
    settings: tuple[str, ...],
    url: str,
    token: str,
    now: bool,
    storage: str | None,
) -> None:
    """Keep the model NAME good beside its service, training on SOURCE when it is called for.

    What calls for it is set in monitoring.retrain: drift, quality, age or schedule; and so does
    raymm retrain NAME --trial, from any machine with the same storage. A challenger
    is tried in shadow, then as a canary, then promoted or taken out; raymm release NAME shows each
    step and its reason. It goes on until Ctrl-C, and from where it was when called again.
    """
    from raymm import endpoint, keeping
    from raymm.data.files import require_local

    there = endpoint.elsewhere(name, url, token) if url else keeping.here(name)
    require_local(source)
    kept = keeping.Kept(
        name=name,
        source=source,
        storage=options.storage_of(storage),
        changes=options.changes({}, settings),
    )
    with printing.progress(quiet=True) as notify:
        keeping.beside(
            kept,
            say=lambda text: click.echo(text, err=True),
            notify=notify,
            there=there if url else None,
            asks="raymm keep --now" if now else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that is served: its role, and what it answered since it became the canary.

    ``requests`` and ``failed`` are None where it is none, or that is not told.
    """

    role: str
    requests: int | None = None
    failed: int | None = None


def served(service: Service, name: str) -> Mapping[int, Served] | None:
    """Return the versions of a model that are served, by number; None where that is not told."""
    from raymm import endpoint

    try:
        status = endpoint.ask(service, f"/v1/models/{name}/status")
        release = status["release"]
        trials = {one["number"]: one.get("trial") or {} for one in status.get("versions", ())}
        roles = {release[role]: role for role in ("shadow", "canary", "champion")}
        return {
            number: Served(
                role=role,
                requests=trials.get(number, {}).get("requests"),
                failed=trials.get(number, {}).get("failed"),
            )
            for number, role in roles.items()
            if number is not None
        }
    except (RaymmError, LookupError, TypeError, AttributeError):
        return None


def show(name: str, report: Mapping[str, Any], roles: Mapping[int, Served] | None = None) -> None:
    """Print a monitor's report: traffic, then each feature beside its reference.

    Of versions that have no role any more nothing is shown, where ``roles`` are known.
    """
    if not report:
        printing.say(f"the monitor of {name} has not reported yet; ask again in a few seconds")
        return
    if report.get("served") is False:
        at = moment(report["saved_at"]) if report.get("saved_at") else "a time not told"
        printing.say(f"{name} is not served now; what its monitor wrote last, at {at}, is shown")
    since = moment(report["since"])
    printing.say(f"\n{name} version {report['version']}, watched since {since}")
    printing.say(f"  {counted(report['requests'], 'request')}, {_rows(report)}")
    if report.get("dropped"):
        many = f"{report['dropped']:,} batch{'' if report['dropped'] == 1 else 'es'}"
        printing.say(f"  lost     {many} of requests never reached the monitor, as too many came")
    printing.say(f"  refused  {_errors(report['errors'], refused=True)}")
    printing.say(f"  failed   {_errors(report['errors'], refused=False)}")
    if report["latency"]["count"]:
        figures = [f"{key} {1000 * report['latency'][key]:.2f} ms" for key in ("p50", "p95", "p99")]
        printing.say(f"  latency  {'  '.join(figures)}")
    _drift(report)
    versions = {
        number: one
        for number, one in report.get("versions", {}).items()
        if roles is None or int(number) in roles or int(number) == report["version"]
    }
    _tried(versions, roles or {})
    _quality(versions, report["version"])
    waiting = (report.get("quality") or {}).get("waiting", 0)
    _labels(report.get("labels", {}), waiting, report.get("dropped_labels", 0))
    advice = report.get("advice", {})
    if advice.get("action") == "retrain":
        printing.say(f"  advice   raymm retrain {name} --trial: {advice['reason']}")
    _features(report["features"], report["window"])


def _drift(report: Mapping[str, Any]) -> None:
    """Print which rows windows are of, and what drifted in them."""
    window, features = report["window"], report["features"]
    printing.say(
        f"  windows  {window['complete']} of {window['rows']:,} rows complete, "
        f"{window['drifted']} drifted"
    )
    if window["complete"]:
        printing.say(f"           the last complete one: {_span(window)}")
    printing.say(f"           the open one: {_opened(window)}")
    drifted = [_named(one, features[one]) for one in report["drifted"]]
    drifted += _prediction(report.get("prediction") or {})
    if drifted or window["complete"]:
        none = "none in the last complete window, nor so far in the open one"
        printing.say(f"  drift    {', '.join(drifted) or none}")
    else:
        printing.say("  drift    not known before the first window is complete")
    if against := _against(report.get("prediction") or {}):
        printing.say(f"           {against}")


def _span(window: Mapping[str, Any]) -> str:
    """Return of how many rows the last complete window is, and when they came."""
    last = window.get("last") or {"rows": window["rows"], "to": window.get("closed_at")}
    told = counted(last["rows"], "row")
    since, until = last.get("from"), last.get("to")
    if since is not None:
        told += f", from {moment(since)}"
    return told if until is None else f"{told} to {moment(until)}"


def _opened(window: Mapping[str, Any]) -> str:
    """Return how many rows the open window holds, and since when."""
    since, rows = (window.get("open") or {}).get("from"), counted(window["filled"], "row")
    return f"{rows} so far" + ("" if since is None else f", from {moment(since)}")


def moment(at: float) -> str:
    """Return seconds since 1970 UTC as a date and time.

    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _rows(report: Mapping[str, Any]) -> str:
    """Return how many rows were answered, and of how many of them the times alone are known."""
    rows, unsampled = counted(report["rows"], "row"), report.get("unsampled", 0)
    if not unsampled:
        return rows
    return f"{rows}; of {unsampled:,} that were not sampled, in busy seconds, the times alone"


def _errors(counts: Mapping[str, int], *, refused: bool) -> str:
    """Return the errors that are the fault of who asked, or the others, by their class."""
    told = [
        f"{count:,} {kind}" for kind, count in counts.items() if (status_of(kind) < 500) == refused
    ]
    return ", ".join(told) or "none"


def _prediction(one: Mapping[str, Any]) -> list[str]:
    """Return how to name the predictions among what drifted, where they did."""
    if not one.get("drifted"):
        return []
    statistic, threshold = one.get("statistic"), one.get("threshold")
    told = [
        _REASONS.get(why, why) + (_EARLY if why in one.get("early", ()) else "")
        for why in one.get("reasons", ())
        if why != "distribution"
    ]
    if statistic is not None and threshold is not None:
        told.append(f"PSI {statistic:.3g}, threshold {threshold:.3g}")
    return [f"the predictions ({', '.join(told)})" if told else "the predictions"]


def _against(one: Mapping[str, Any]) -> str:
    """Return what predictions are compared with; empty before that is known."""
    if "against" not in one:
        return ""
    told = f"{one['reference_rows']:,}"
    if one["against"] == "test rows":
        return f"predictions are compared with those on {told} test rows of the version"
    return f"predictions are compared with the first {told} that were served"


def _tried(versions: Mapping[str, Mapping[str, Any]], roles: Mapping[int, Served]) -> None:
    """Print how the versions in shadow and canary do, and what they gain over the champion."""
    for number, one in versions.items():
        now = roles.get(int(number), Served(role="champion"))
        if now.role == "champion":
            continue
        errors = ", ".join(f"{n} {kind}" for kind, n in one.get("errors", {}).items()) or "none"
        told = f"{counted(one.get('requests', 0), 'request')} in all, errors {errors}"
        if now.requests is not None:
            since = f"{counted(now.requests, 'request')} since it became the canary"
            told = f"{since}, {now.failed or 0:,} failed; {told}"
        paired = one.get("paired") or {}
        if paired.get("gain") is not None:
            told += (
                f"; on {counted(paired['n'], 'labelled row')} that both answered "
                f"{paired['metric']} {paired['new']:.4g}, the champion {paired['old']:.4g}"
            )
        printing.say(f"  {now.role:<8} version {number}: {told}")


def _labels(counts: Mapping[str, int], waiting: int, dropped: int) -> None:
    """Print what became of labels, and how many predictions wait for one, where there are any."""
    told = [f"{counts[kind]:,} {words}" for kind, words in _LABELS.items() if counts.get(kind)]
    if told:
        printing.say(f"  labels   {counts.get('labels', 0):,} came: {', '.join(told)}")
    if dropped:
        printing.say(f"           {dropped:,} more were lost, as too many came at once")
    if waiting:
        head = "         " if told else "  labels "
        printing.say(f"{head}  {counted(waiting, 'prediction')} without one yet")


def _quality(versions: Mapping[str, Mapping[str, Any]], champion: int) -> None:
    """Print quality by labels, and as estimated without, of each version."""
    for number, one in versions.items():
        beside = "" if int(number) == champion else f" of version {number}"
        known = one.get("quality", {})
        if known.get("value") is not None:
            printing.say(
                f"  quality  {known['metric']} {known['value']:.4g} "
                f"({known['low']:.4g} to {known['high']:.4g})"
                if known["low"] is not None
                else f"  quality  {known['metric']} {known['value']:.4g}, of too few labels to say "
                "how sure that is"
            )
            thinned = known.get("thinned", 0)
            others = f", {thinned:,} that wait no more left out" if thinned else ""
            printing.say(
                f"           on {known['n']:,} labelled rows{beside}; "
                f"{known['coverage']:.1%} of predictions have a label{others}"
            )
        if told := _calibration(known.get("calibration", {}), beside):
            printing.say(f"           {told}")
        estimated = one.get("estimated", {})
        if estimated.get("accuracy"):
            printing.say(
                f"  likely   accuracy {estimated['accuracy']['value']:.4g}{beside}, estimated "
                f"without labels; it cannot see concept drift"
            )


def _calibration(one: Mapping[str, Any], beside: str) -> str:
    """Return how well calibrated labelled rows are, and the test rows; empty where unknown."""
    if not one.get("n"):
        return ""
    told = "bias (label minus prediction)" if one["measure"] == "bias" else "calibration error"
    rows = f"{one['n']:,} labelled row{'' if one['n'] == 1 else 's'}{beside}"
    if one.get("value") is None:
        few = one["n"] < one.get("least", 0)
        return f"{told} not told: {rows}, too few" if few else ""
    told += f" {one['value']:.3g}"
    if one["low"] is not None:
        told += f" ({one['low']:.3g} to {one['high']:.3g})"
    told += f" on {rows}"
    if one["test"] is not None:
        told += f", on {one['test']['n']:,} test rows {one['test']['value']:.3g}"
    return told + (": surely worse" if one["worse"] else "")


def _features(features: Mapping[str, Mapping[str, Any]], window: Mapping[str, Any]) -> None:
    """Print a table of features: of the last complete window, or of what there is before it."""
    ordered = sorted(features.items(), key=lambda item: -_excess(item[1]))
    rows = [
        (
            name,
            one.get("statistic"),
            one.get("threshold"),
            ", ".join(
                _REASONS.get(why, why) + (" (open window)" if why in one.get("early", ()) else "")
                for why in one.get("reasons", ())
            ),
            f"{one.get('missing', 0.0):.1%}",
            f"{one.get('missing_reference', 0.0):.1%}",
            f"{one['unseen']:.1%}" if "unseen" in one else "",
            f"{one['unseen_reference']:.1%}" if "unseen_reference" in one else "",
        )
        for name, one in ordered[:_ROWS]
    ]
    shares = ("missing", "it was", "unseen", "it was")
    columns = ("feature", "PSI", "threshold", "drifted", *shares)
    of = f"in the open window, {_opened(window)}"
    if window["complete"]:
        of = f"in the last complete window, {_span(window)}"
    printing.say(f"\nFeatures {of}")
    printing.table("The furthest from training first", columns, rows)
    printing.say(
        "unseen: values beyond training's range or categories it had not; it was: the same share "
        "in training, for unseen that of categories which no other row had"
    )
    if len(ordered) > _ROWS:
        printing.say(f"{len(ordered) - _ROWS} more with --json")


def _named(name: str, feature: Mapping[str, Any]) -> str:
    """Return a drifted feature's name with why; a burst with its own rows, not the window's."""
    told = []
    for reason in feature.get("reasons", ()):
        burst = feature.get("bursts", {}).get(reason)
        beside = f" {burst['share']:.1%} of {burst['rows']:,} rows" if burst else ""
        beside += _EARLY if reason in feature.get("early", ()) else ""
        told.append(f"{_REASONS.get(reason, reason)}{beside}")
    return f"{name} ({', '.join(told)})" if told else name


def _excess(feature: Mapping[str, Any]) -> float:
    statistic, threshold = feature.get("statistic"), feature.get("threshold")
    return float(statistic) / float(threshold) if statistic is not None and threshold else -1.0
