"""What raymm says in a replica stands in Serve's log of that replica.

Serve takes a replica's standard error for remarks of its own, at the level INFO, and a service
keeps warnings and errors only. What is kept it holds back until many lines have come together or
an error has, so that requests need not wait for a disk: warnings of raymm are rare, and written at
once.
"""

from __future__ import annotations

import logging

SERVE = "ray.serve"


class ToServe(logging.Handler):
    """Hands records on to Serve's logger, whose handlers write them now."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; see `logging.Handler.emit`."""
        logger = logging.getLogger(SERVE)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
            for handler in logger.handlers:
                handler.flush()


def to_serve() -> None:
    """Let this process write raymm's log into Serve's too; once is enough."""
    logger = logging.getLogger("raymm")
    if not any(isinstance(one, ToServe) for one in logger.handlers):
        logger.addHandler(ToServe())
