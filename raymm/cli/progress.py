"""What a person sees while it works: a live board on a terminal, plain lines elsewhere.

On a terminal a spinner turns, so that nobody takes a slow start for a standstill; below the line
of the search stand the leaders. Elsewhere there are lines without control codes: one a stage, one
for trials now and then, and one after a while of silence. No line is longer than the terminal;
where there is none, lines are whole, or as long as the environment's ``COLUMNS`` says.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from raymm.counts import counted

if TYPE_CHECKING:
    from raymm.artifacts import Notify, Progress, Trial

LEADERS = 3
EVERY, LATER, SILENCE = 2.0, 10.0, 15.0
"""Seconds between plain lines of trials in the first minute, after it, and until a sign of life."""
_BAR = 20
_TITLES = {
    "data": "data",
    "features": "features",
    "search": "search",
    "build": "build and compress",
    "rebuild": "compress in another way",
    "evaluate": "evaluate and bless",
    "explain": "explain",
    "audit": "audit",
    "refit": "train on all rows",
    "promote": "promote",
}
_BEGUN = {
    "search": "making trials ready; Ray takes 10 to 30 s to start",
    "features": "trying which columns to leave out or to put together",
    "policy": "deciding on a mix, on calibration and on doubtful labels",
    "build": "measuring smaller forms of the winner on validation rows",
    "rebuild": "the form that was refused is replaced by a milder one",
    "evaluate": "scoring the bundle on the test rows",
    "explain": "measuring what each column adds",
    "audit": "comparing the groups of goal.protected, if there are any",
}
"""What a stage is at when it has told nothing yet."""


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    >>> duration(75.2), duration(3.21)
    ('1m15s', '3.2s')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


_NAMED = 3
"""Parameters of the best trial that a line of a log names: all are in the leaderboard."""


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Notify]:
    """Give a callable that shows progress on the error output; ``quiet`` shows nothing."""
    if quiet:
        yield lambda event: None
        return
    lines: type[_Line | _Plain] = _Line if in_notebook() else _Plain
    display = _Live() if sys.stderr.isatty() else lines()
    try:
        yield display.show
    finally:
        display.end()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def line(event: Progress, elapsed: float) -> str:
    """Return what is known of an event, in one line."""
    told = f"[{duration(elapsed):>6}] {_TITLES.get(event.stage, event.stage)}"
    return "  ".join([told, *_facts(event)])


def _facts(event: Progress) -> list[str]:
    if not event.done:
        told = event.message or _BEGUN.get(event.stage, "")
        return [told] if told else []
    trials = counted(event.total or event.done, "trial")
    parts = [f"{event.done:,}/{trials}" if event.total else trials]
    if event.failed:
        parts.append(f"{event.failed} failed")
    if event.running:
        parts.append(f"{event.running} running")
    if event.best is not None:
        parts.append(f"best {f'{event.metric} ' if event.metric else ''}{event.best:.6g}")
    if event.seconds_left:
        parts.append(f"{duration(max(0.0, event.seconds_left))} left")
    if event.message and not event.message.startswith("trial "):
        parts.append(event.message)
    return parts


def leader(place: int, trial: Trial, most: int | None = None) -> str:
    """Return a leading trial in one line: its value, family and parameters, ``most`` of them."""
    own = f"{trial.family}."
    parts = [
        f"{name.removeprefix(own)} {_short(value)}"
        for name, value in trial.config.items()
        if name != "family"
    ]
    told = ", ".join(parts[:most] + ["…"] * (most is not None and len(parts) > most))
    value = "–" if trial.value is None else f"{trial.value:.6g}"
    return "  ".join(part for part in (f"  {place}", value, trial.family, told) if part)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def fitted(text: str, width: int) -> str:
    """Return a text in one line of at most ``width`` characters, cut with an ellipsis.

    >>> fitted("one two", 5), fitted("one", 5)
    ('one …', 'one')
    """
    flat = " ".join(text.splitlines())
    return flat if len(flat) <= width else flat[: max(0, width - 1)] + "…"


def _columns() -> int:
    """Return the width that is set for lines of a file or a log; none is without end."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else sys.maxsize


class _Plain:
    """Lines for a file, a pipe or a log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = self._at = clock()
        self._stage, self._leader = "", ""
        self._ended = False
        self._last: Progress | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()

    def show(self, event: Progress) -> None:
        with self._lock:
            fresh = event.stage != self._stage
            self._stage, self._last = event.stage, event
            now = self._clock()
            rest = EVERY if now - self._started < 60 else LATER
            # Once, and not at each budget of a trial that goes on when all have been begun.
            last = event.done == event.total and not self._ended
            self._ended = event.done == event.total
            if fresh or not event.done or now - self._at >= rest or last:
                self._say(event, now)

    def _say(self, event: Progress, now: float) -> None:
        text = line(event, now - self._started)
        best = leader(1, event.leaders[0], _NAMED).strip() if event.leaders else ""
        if best and best != self._leader:
            text = f"{text}  (best: {best.partition('  ')[2]})"
        self._leader = best
        click.echo(fitted(text, _columns()), err=True)
        self._at = now

    def _beat(self) -> None:
        while not self._over.wait(1.0):
            with self._lock:
                now = self._clock()
                if self._last is not None and now - self._at >= SILENCE:
                    self._say(self._last, now)

    def end(self) -> None:
        self._over.set()
        self._pulse.join()


class _Line:
    """One line in a notebook's output, written over itself at most twice a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started, self._at, self._width = clock(), -math.inf, 0
        self._last: Progress | None = None

    def show(self, event: Progress) -> None:
        now, before = self._clock(), self._last
        self._last = event
        if now - self._at >= 0.5 or before is None or event.stage != before.stage:
            self._write(event, now)

    def _write(self, event: Progress, now: float) -> None:
        text = fitted(line(event, now - self._started), 110)
        print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._at, self._width = now, len(text)

    def end(self) -> None:
        if self._last is not None:
            self._write(self._last, self._clock())
            print(file=sys.stderr)


class _Live:
    """A board that is drawn over itself four times a second."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._started = time.monotonic()
        self._console = Console(stderr=True, highlight=False, soft_wrap=False)
        self._event: Progress | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self._board,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def show(self, event: Progress) -> None:
        before = self._event
        counting = before is not None and before.done and event.stage == before.stage
        if event.done or not counting:  # a remark between trials leaves the board as it is
            self._event = event
        if before is not None and before.done and event.stage != before.stage:
            self._keep(before)
        if not event.done:
            self._keep(event)

    def _keep(self, event: Progress) -> None:
        """Print a line that stays."""
        text = fitted(line(event, self._elapsed), self._console.width)
        self._console.print(text, markup=False, no_wrap=True, overflow="crop")

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _board(self) -> Any:
        from rich.text import Text

        event, elapsed, width = self._event, self._elapsed, self._console.width
        if event is None:
            return Text("")
        rows = board(event, elapsed, width, plain=not self._console.encoding.startswith("utf"))
        return Text("\n".join(rows), no_wrap=True, overflow="crop")

    def end(self) -> None:
        if self._event is not None and self._event.done:
            self._keep(self._event)
        self._live.stop()


_FRAMES: Mapping[bool, str] = {True: "|/-\\", False: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}


def board(event: Progress, elapsed: float, width: int, *, plain: bool = False) -> list[str]:
    """Return the live board's lines, each of at most ``width`` characters.

    ``plain`` keeps to ASCII in what is drawn.
    """
    frames = _FRAMES[plain]
    frame = frames[int(elapsed * 4) % len(frames)]
    told = line(event, elapsed)
    if not event.done:
        told = f"[{duration(elapsed):>6}] {_TITLES.get(event.stage, event.stage)}: at work"
    elif event.total:
        full = min(_BAR, event.done * _BAR // event.total)
        done, left = ("#", ".") if plain else ("━", "╌")
        head, _, rest = told.partition("  " + _facts(event)[0])
        told = f"{head}  {done * full}{left * (_BAR - full)}  {_facts(event)[0]}{rest}"
    rows = [f"{frame} {told}"]
    rows += [leader(place, trial) for place, trial in enumerate(event.leaders[:LEADERS], start=1)]
    return [fitted(row, max(1, width - 1)) for row in rows]
