"""README.md tells the truth: its commands exist, and its first run works to the letter."""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
from pathlib import Path

import click
import pytest
import yaml

from raymm.cli import cli
from raymm.config import parse

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in (TOP / "docs").glob("*.md")}
LINKS = [
    (path.parent, link)
    for path, text in {TOP / "README.md": README, **PAGES}.items()
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text)
]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
LINES = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for kind, text in BLOCKS
    for line in text.splitlines()
    if kind == "console" and line.startswith("$ ")
]
INLINE = [
    text
    for page in (README, *PAGES.values())
    for text in re.findall(r"`(raymm [a-z]+ [^`]*)`", page)
    if "…" not in text
]
COMMANDS = [line for line in (*LINES, *INLINE) if line.startswith("raymm ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_can_be_parsed(line):
    _, name, *arguments = shlex.split(line)
    command = cli.get_command(None, name)
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands.get(name)
    assert command is not None
    with command.make_context(name, arguments) as context:
        assert context.params


@pytest.mark.parametrize(("folder", "link"), LINKS)
def test_every_link_leads_to_a_file_of_the_project(folder, link):
    assert (folder / link).is_file()


def test_every_page_can_be_found_from_the_first():
    linked = {(folder / link).resolve() for folder, link in LINKS if folder == TOP}
    assert set(PAGES) <= linked


def test_the_make_targets_exist():
    makefile = (TOP / "Makefile").read_text()
    for target in (line.split()[1] for line in LINES if line.startswith("make ")):
        assert f"\n{target}:" in makefile


def test_the_file_is_a_configuration():
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    assert parse(yaml.safe_load(text)).goal.at_least == 0.85


@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_the_first_run_works_to_the_letter(command, tmp_path):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex(("127.0.0.1", 8000)) == 0:
            pytest.skip("port 8000 is taken on this machine")
    for line in (line for line in LINES if not line.startswith("make ")):
        done = command.call("-c", line, program=("sh",), timeout=600)
        assert done.code == 0, f"{line}\n{done.out}\n{done.err}"
        if line.startswith("raymm run"):
            assert "blessed, champion" in done.out
        if line.startswith("raymm deploy"):
            asked = next(text for text in done.out.splitlines() if "curl" in text)
            answer = command.call("-c", asked.split("try", 1)[1], program=("sh",))
            assert json.loads(answer.out)["version"] == 1
    predicted = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(predicted) == 179
    (block,) = (text for kind, text in BLOCKS if kind == "python")
    script = tmp_path / "first.py"
    script.write_text(
        f"if __name__ == '__main__':\n    {block.replace(chr(10), chr(10) + '    ')}\n"
    )
    done = command.call(program=(sys.executable, str(script)), timeout=600)
    assert done.code == 0, done.err
    assert "True" in done.out
