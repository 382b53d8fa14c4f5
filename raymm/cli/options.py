"""Options that several commands share, and what they mean for the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from raymm.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

_RUN_OPTIONS = (
    ("--target", "data.target", str, "Column to predict."),
    ("--time", "search.time", str, "Time for the search, such as 90s or 5m (hard)."),
    ("--trials", "search.trials", int, "Configurations to try in all."),
    ("--algorithm", "search.algorithm", str, "Search algorithm: auto, gp, tpe, bohb, … (README)."),
    ("--metric", "goal.metric", str, "Metric to optimise; by default the task's usual one."),
    ("--name", "name", str, "Name of the model; by default the file's."),
    ("--storage", "storage", str, "Folder or URL (s3://, gs://, az://); default RAYMM_HOME."),
    ("--address", "ray.address", str, "Ray cluster to use: auto, local or an address."),
    ("--seed", "seed", int, "Decides every random choice (default 0)."),
)


def storage_option(command: Command) -> Command:
    """Add ``--storage``, whose default is RAYMM_HOME, else ``~/.raymm``."""
    return click.option("--storage", default=None, help="Folder or URL; default RAYMM_HOME.")(
        command
    )


def json_option(command: Command) -> Command:
    """Add ``--json``: one JSON object instead of text for a person."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def run_options(command: Command) -> Command:
    """Add the options that change a run's configuration; `changes` reads them."""
    command = click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set any configuration key."
    )(command)
    for flag, key, kind, text in reversed(_RUN_OPTIONS):
        command = click.option(flag, key.replace(".", "__"), type=kind, default=None, help=text)(
            command
        )
    return command


def changes(given: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """Return dotted configuration keys and values from options and ``--set``.

    Raises
    ------
    ConfigError
        When a ``--set`` has no ``=``.
    """
    found = {key.replace("__", "."): value for key, value in given.items() if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE, such as search.parallel=1, not {setting!r}.")
        found[key.strip()] = value
    return found


@contextmanager
def as_typed(given: Mapping[str, Any]) -> Iterator[None]:
    """Let errors about what was typed name the options, as `typed` does."""
    try:
        yield
    except ConfigError as error:
        told = typed(str(error), [name for name, value in given.items() if value is not None])
        raise ConfigError(told) from error


def typed(text: str, names: Iterable[str]) -> str:
    """Return a message with parameters and configuration keys written as the options are.

    Parameters
    ----------
    names : iterable of str
        Parameters of the command, such as ``min_budget`` or ``search__trials``.

    >>> typed("it needs min_budget: give min_budget=1", ["min_budget"])
    'it needs --min-budget: give --min-budget 1'
    >>> typed("search.trials must be at least 1", ["search__trials"])
    '--trials must be at least 1'
    """
    for name in names:
        key = name.replace("__", ".")
        option = "--" + key.rpartition(".")[2].replace("_", "-")
        word = re.escape(key)
        text = re.sub(rf'(?<![\w.-]){word}="?(\w[\w.]*)"?', rf"{option} \1", text)
        # One word alone may be a word of the sentence: only what it begins with is the option.
        place = rf"(?<![\w.-]){word}\b" if re.search(r"[._]", key) else rf"(?m)^{word}(?= must|:)"
        text = re.sub(place, option, text)
    return text


def storage_of(given: str | None) -> str:
    """Return the storage given, a folder as an absolute path, or the default.

    Raises
    ------
    ConfigError
        When a file stands where the folder should.
    """
    from os.path import abspath, dirname, expanduser, isdir, lexists

    from raymm.config import default_storage

    local = given and "://" not in given
    storage = abspath(expanduser(given)) if given and local else given or default_storage()
    place = storage
    while "://" not in storage and not lexists(place):
        place = dirname(place)
    if "://" not in storage and not isdir(place):
        raise ConfigError(
            f"storage must be a folder or a URL, but {place} is a file. Set --storage, or the "
            "environment's RAYMM_HOME, to a folder."
        )
    return storage


def require_registered(named: str) -> None:
    """Raise ConfigError where what is to be a model's name is a bundle file."""
    if named.endswith(".raymm") and Path(named).is_file():
        raise ConfigError(
            f"{named} is a bundle file, and this command takes the name of the model in the "
            "storage that it was made of, as raymm models lists them. The file itself is taken by "
            "raymm predict, raymm export onnx and raymm.load."
        )
