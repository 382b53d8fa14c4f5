"""Commands about a model in service: deploy, stop, monitor, export."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from raymm.cli import options, printing
from raymm.counts import counted
from raymm.errors import ConfigError, NotFound

_settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set serving.* and monitoring.* keys.",
)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME [NAME ...]")
@click.option("--detach", is_flag=True, help="Leave the service running; raymm stop ends it.")
@click.option("--port", type=int, default=None, help="Port to listen on (default 8000).")
@click.option("--address", default="auto", help="Ray cluster to use: auto, local or an address.")
@click.option("--join", default="", metavar="NAME", help="Put it behind the endpoint of NAME.")
@_settings_option
@options.storage_option
@options.json_option
def deploy(
    names: tuple[str, ...],
    detach: bool,
    port: int | None,
    address: str,
    join: str,
    settings: tuple[str, ...],
    storage: str | None,
    as_json: bool,
) -> None:
    """Serve the champion of NAME over HTTP and watch it; of several models, behind one endpoint.

    On a laptop it serves until Ctrl-C; with --detach, until raymm stop. On a cluster
    (RAY_ADDRESS, --address or inside a job) it deploys and returns.
    """
    from raymm import service

    changed = _served_changes({"serving__port": port}, settings)
    if join:
        address, there = service.joined(join, address)
        changed = {**changed, **there}
    serve(
        names,
        options.storage_of(storage),
        address=address,
        changed=changed,
        detach=detach,
        as_json=as_json,
    )


def _served_changes(given: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """Return the changes of a service; raises ConfigError for keys that concern a run."""
    changed = options.changes(given, settings)
    for key in changed:
        if key.partition(".")[0] not in ("serving", "monitoring"):
            raise ConfigError(
                f"a service takes serving.* and monitoring.* keys, but got {key}. "
                "Give it to raymm run or raymm retrain."
            )
    return changed


def serve(
    names: str | Sequence[str],
    storage: str,
    *,
    config: Any = None,
    address: str = "auto",
    changed: dict[str, Any] | None = None,
    detach: bool = False,
    as_json: bool = False,
    found: dict[str, Any] | None = None,
) -> None:
    """Serve a model in the foreground, or in a process of its own, and say how to use it."""
    from raymm import service

    if config is not None:
        address = config.ray.address
        changed = {"serving": config.serving.model_dump(mode="json")}
        changed["monitoring"] = config.monitoring.model_dump(mode="json")
    ordered = service.order(names, storage, address=address, changes=changed)
    if detach:
        running = service.detach(ordered, changed or {}, notify=_quietly(as_json))
        _announce(ordered, running, as_json, foreground=False, found=found)
        return
    with service.serving(ordered, notify=_quietly(as_json)) as running:
        foreground = running.pid != 0
        _announce(ordered, running, as_json, foreground=foreground, found=found)
        if foreground:
            service.wait_for_signal()
            _quietly(as_json)("stopping")


def _quietly(as_json: bool) -> Any:
    return lambda text: None if as_json else click.echo(text, err=True)


def _announce(
    ordered: Any,
    running: Any,
    as_json: bool,
    *,
    foreground: bool,
    found: dict[str, Any] | None = None,
) -> None:
    from raymm import occupied, service
    from raymm.serving.tokens import ALONE

    champion = service.champion_of(ordered)
    if as_json:
        printing.as_json(
            {
                **(found or {}),
                "name": running.name,
                "url": running.url,
                "token": running.token,
                "pid": running.pid,
                "version": champion.number,
                "models": {one: service.champion_of(ordered, one).number for one in ordered.names},
                "haproxy": running.haproxy,
            }
        )
        sys.stdout.flush()
        return
    for one in ordered.names:
        number = service.champion_of(ordered, one).number
        printing.say(f"{one} version {number} is served at {running.url}")
    if running.haproxy:
        printing.say(f"  {occupied.shown()}")
    else:
        printing.say("  HAProxy cannot be had here; Serve's Python proxy answers, more slowly")
    printing.say(f"  page           {running.url}/")
    printing.say(f"  documentation  {running.url}/docs")
    if running.token:
        printing.say(f"  token          {running.token}")
        if not os.environ.get(ALONE):
            stay = "those of serving.tokens stay valid"
            printing.say(f"{'':17}new at each start; {ALONE} keeps one; {stay}")
    _tell_use(ordered, running, foreground)
    sys.stdout.flush()


def _tell_use(ordered: Any, running: Any, foreground: bool) -> None:
    """Print how each model is asked and watched, and all are ended."""
    from raymm import service

    for place, one in enumerate(ordered.names):
        printing.say(f"  {'' if place else 'try':15}{curl(running, one)}")
    for place, one in enumerate(ordered.names):
        printing.say(f"  {'' if place else 'watch':15}raymm monitor {one}")
    for one in service.untold(ordered):
        printing.say(
            f"  events         are told by raymm keep {one} DATA, as it is configured: "
            "none runs on this machine"
        )
    end = "Ctrl-C" if foreground else f"raymm stop {' '.join(ordered.names)}"
    printing.say(f"  stop           {end}")


def curl(found: Any, name: str) -> str:
    """Return a command that asks the service for a model's prediction of its example row."""
    from raymm import endpoint

    described = endpoint.ask(found, f"/v1/models/{name}")
    body = json.dumps(described["example"])
    header = f"-H 'Authorization: Bearer {found.token}' " if found.token else ""
    url = f"{found.url}/v1/models/{name}/predict"
    trust = f"--cacert {shlex.quote(found.certificate)} " if found.certificate else ""
    return f"curl -s {trust}{header}-d {shlex.quote(body)} {url}"


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME [NAME ...]")
@options.json_option
def stop(names: tuple[str, ...], as_json: bool) -> None:
    """End the service of NAME that was left running.

    Models that were deployed together end together, and with a service those that joined it by
    --join: name them all.
    """
    from raymm import ending

    ended = ending.stop(names)
    if as_json:
        models = [name for one in ended for name in one.served()]
        told = {"name": names[0], "stopped": True, "url": ended[-1].url, "models": models}
        printing.as_json(told)
        return
    for one in ended:
        printing.say(f"{' and '.join(one.served())} no longer served at {one.url}")


@click.command()
@click.argument("name")
@click.option("--url", default="", help="Address of the service, where it runs elsewhere.")
@click.option("--token", envvar="RAYMM_TOKEN", default="", help="Its token; default RAYMM_TOKEN.")
@options.storage_option
@options.json_option
def monitor(name: str, url: str, token: str, storage: str | None, as_json: bool) -> None:
    """Show what the monitor of NAME has seen: traffic, errors, latency, drift.

    Of a model that is not served any more, what its monitor wrote last.
    """
    from raymm import endpoint
    from raymm.cli.watching import served, show

    found = endpoint.elsewhere(name, url, token) if url else endpoint.find(name)
    if found is None or endpoint.gone(found):
        known = found.storage if found else None
        report, roles = _remembered(name, options.storage_of(storage or known or None)), None
    else:
        report = endpoint.monitored(found, name)
        roles = None if as_json else served(found, name)
    if as_json:
        printing.as_json(report)
    else:
        show(name, report, roles)


def _remembered(name: str, storage: str) -> Mapping[str, Any]:
    """Return what a monitor wrote last; raises NotFound where it wrote nothing."""
    from raymm import remembered

    report = remembered.last_known(name, storage)
    if report is None:
        raise NotFound(
            f"no service of {name} is recorded here, and no monitor of it has written anything. "
            f"Start one: raymm deploy {name}, or name one that runs elsewhere with --url and "
            "--token."
        )
    return report


@click.group()
def export() -> None:
    """Write the Ray Serve configuration of a model, or its ONNX graph."""


_LISTENS = """\
# Serve listens where http_options say, in clear text without ssl_certfile and ssl_keyfile. Where
# that is wider than loopback, the application starts only with serving.insecure: true, which says
# that something in front of it brings TLS, such as an ingress.
"""


@export.command("serve")
@click.argument("names", nargs=-1, required=True, metavar="NAME [NAME ...]")
@click.option("-o", "--output", default="-", help="File; default standard output.")
@_settings_option
@options.storage_option
def export_serve(
    names: tuple[str, ...], output: str, settings: tuple[str, ...], storage: str | None
) -> None:
    """Write the configuration for serve deploy and RayService.

    Local paths are written as absolute ones.
    """
    import yaml

    from raymm import preflight, service
    from raymm.serving.exposure import require_safe
    from raymm.serving.scaling import listening

    place = options.storage_of(storage)
    changed = _served_changes({}, settings)
    ordered = service.order(names, place, changes=changed)
    paths = preflight.paths_of(ordered.serving)
    serving = ordered.serving.model_copy(update=paths)
    require_safe(serving, guarded=serving.auth == "token", encrypted=bool(serving.certificate))
    named: dict[str, Any] = {"name": names[0]} if len(names) == 1 else {"names": list(names)}
    document = {
        "proxy_location": "EveryNode",
        **listening(serving),
        "applications": [
            {
                "name": names[0],
                "route_prefix": "/",
                "import_path": "raymm.service:serve_application",
                "args": {
                    **named,
                    "storage": place,
                    **changed,
                    **{f"serving.{key}": path for key, path in paths.items()},
                    "serving.insecure": serving.insecure,
                },
            }
        ],
    }
    for told in preflight.unready(serving):
        click.echo(f"note: as seen from here, {told} It is read where the service runs.", err=True)
    text = _LISTENS + yaml.safe_dump(document, sort_keys=False)
    _write(output, text.encode(), f"service of {' and '.join(names)}")


@export.command("onnx")
@click.argument("name", metavar="NAME[@VERSION] | FILE.raymm")
@click.option("-o", "--output", required=True, help="File to write.")
@options.storage_option
def export_onnx(name: str, output: str, storage: str | None) -> None:
    """Write the ONNX graph of the champion or a version, for onnxruntime, phones and browsers.

    Its metadata_props say which column each input is, the order of the classes, and more.

    Instead of NAME, a bundle file that ends in .raymm.
    """
    from raymm.bundle.graph import described, input_names
    from raymm.prediction import found, require_apart

    bundle, version = found(name, storage=options.storage_of(storage))
    if version is None:
        require_apart(output, name)
    known = Path(name).name if version is None else f"{version.name}@{version.number}"
    told = name if version is None else f"{version.name} version {version.number}"
    _write(output, described(bundle.graph, bundle.schema, name=known), told)
    others = [(one, column) for column, one in input_names(bundle.schema).items() if one != column]
    if others:
        some = ", ".join(f'{one} is "{column}"' for one, column in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        click.echo(
            f"note  {counted(len(others), 'input')} of the graph had to be called otherwise than "
            f"the column: {some}{more}; its metadata_props hold them all (raymm.inputs)",
            err=True,
        )


def _write(output: str, data: bytes, told: str) -> None:
    """Write a file and say so, or write to the standard output, which then holds nothing else."""
    if output == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from error
    printing.say(f"{told} written to {output}")
