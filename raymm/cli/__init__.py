"""The command line: reads arguments, calls the life cycle and the rooms, prints.

Nothing heavy is imported before a command needs it, so ``raymm --help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from raymm.errors import RaymmError

_COMMANDS = {
    "run": ("raymm.cli.run", "Find the best model for a table, prove it and register it."),
    "demo": ("raymm.cli.run", "The worked example, end to end, on data that ships with it."),
    "validate": ("raymm.cli.run", "Statistics, schema and anomalies of a table."),
    "tune": ("raymm.cli.tuning", "Tune your own training function."),
    "submit": ("raymm.cli.run", "Run a configuration file as a Ray job, its logs followed."),
    "retrain": ("raymm.cli.retraining", "Run again on newer data, or ask raymm keep to."),
    "runs": ("raymm.cli.records", "List the runs."),
    "leaderboard": ("raymm.cli.records", "Show a run's trials, best first."),
    "report": ("raymm.cli.records", "Write the HTML report of a model or run; say where it is."),
    "explain": ("raymm.cli.records", "Show what a model, or that of a run, rests on."),
    "models": ("raymm.cli.records", "List the models, or one model's versions."),
    "compress": ("raymm.cli.compressing", "Show a version's compressed forms, or shrink a file."),
    "release": ("raymm.cli.releasing", "Show which versions are served to whom, and the history."),
    "shadow": ("raymm.cli.releasing", "Let a version answer unseen, beside the champion."),
    "canary": ("raymm.cli.releasing", "Let a version answer a share of the requests."),
    "promote": ("raymm.cli.releasing", "Make a version the champion."),
    "rollback": ("raymm.cli.releasing", "Make the champion before this one the champion again."),
    "fsck": ("raymm.cli.records", "Check that everything stored is whole."),
    "replay": ("raymm.cli.records", "Rebuild a version from its lineage and compare."),
    "predict": ("raymm.cli.records", "Predict a table with the champion, without a service."),
    "deploy": ("raymm.cli.service", "Serve the champion over HTTP and watch it."),
    "stop": ("raymm.cli.service", "End a service that was left running."),
    "monitor": ("raymm.cli.service", "Show what a service's monitor has seen."),
    "keep": ("raymm.cli.watching", "Watch a service, train again, try and promote what is better."),
    "export": ("raymm.cli.service", "Write the Ray Serve configuration, or the ONNX graph."),
}


class _Lazy(click.Group):
    """Imports a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = __import__(_COMMANDS[cmd_name][0], fromlist=[cmd_name])
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in _COMMANDS:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else " See raymm --help."
            raise click.UsageError(f'"{args[0]}" is not a command.{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="raymm")
def cli(debug: bool) -> None:
    """Automated model management on Ray.

    A table becomes a tuned, proven, compressed, served and watched model:
    raymm run DATA.csv --target COLUMN --deploy
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Exit codes: 0 done, 2 configuration, 3 data, 4 search, 5 not blessed, 6 serving or registry,
    130 interrupted, 1 a fault of raymm's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug, as_json = "--debug" in given, "--json" in given
    given = [word for word in given if word != "--debug"]
    try:
        code = cli.main(args=given, prog_name="raymm", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail(
            "Interrupted", "interrupted. The same command goes on where it stopped.", 130, as_json
        )
    except click.ClickException as error:
        _fail("UsageError", error.format_message(), 2, as_json)
    except RaymmError as error:
        if debug:
            raise
        _fail(type(error).__name__, str(error), error.exit_code, as_json, error.document)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        told = f"{type(error).__name__}: {error}. This is a fault of raymm; --debug shows where."
        _fail("Fault", told, 1, as_json)


def _fail(
    kind: str,
    message: str,
    code: int,
    as_json: bool,
    document: Mapping[str, Any] | None = None,
) -> None:
    if as_json:
        told = {"type": kind, "message": message, "exit_code": code}
        print(json.dumps({**(document or {}), "error": told}, default=str))
    print(f"raymm: {message}", file=sys.stderr)
    sys.exit(code)
