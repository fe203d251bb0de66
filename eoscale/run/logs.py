"""Logs: what the loggers of a run say, on standard error, for a person or for machines."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import NoReturn

from rich.console import Console

_OWN = "eoscale"
_OTHERS = (
    "asyncio",
    "distributed",
    "distributed.client",
    "distributed.gc",
    "tornado",
    "tornado.application",
    "bokeh",
)
"""All but the first are those to which distributed gives a handler of its own when it is imported."""


class _Handler(logging.Handler):
    """Prints by a console, so that what is logged stands above the bars."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        super().__init__()
        self._console = console
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = _json(record) if self._as_json else _text(record)
            self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        except Exception:  # noqa: BLE001  as logging asks of handlers
            self.handleError(record)


def _message(record: logging.LogRecord) -> str:
    """Return the message, with the error in one line: where it was raised is nothing to a person."""
    if record.exc_info and record.exc_info[1]:
        return f"{record.getMessage()} ({record.exc_info[1]!r})"
    return record.getMessage()


def _text(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).astimezone()
    return f"{moment:%H:%M:%S} {record.name.removeprefix(f'{_OWN}.')}: {_message(record)}"


def _json(record: logging.LogRecord) -> str:
    facts = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
    }
    return json.dumps(facts)


def configure(console: Console, *, as_json: bool) -> None:
    """Have warnings of eoscale printed, and errors of distributed; :func:`say_more` has more printed.

    Parameters
    ----------
    console : rich.console.Console
        Of standard error.
    as_json : bool
        As JSON objects of ``time``, ``level``, ``logger`` and ``message``, one a line.
    """
    handler = _Handler(console, as_json=as_json)
    for name, level in ((_OWN, logging.NOTSET), *((other, logging.ERROR) for other in _OTHERS)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
    warnings.showwarning = _log_warning


def fail(console: Console, kind: str, message: str, status: int, *, as_json: bool) -> NoReturn:
    """End the process with an error in one line, or in one JSON object of error, message and status."""
    if as_json:
        text, style = json.dumps({"error": kind, "message": message, "status": status}), None
    else:
        text, style = f"{kind}: {message}", "red"
    console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
    sys.exit(status)


def say_more() -> None:
    """Have the course of things printed, and warnings of distributed too."""
    logging.getLogger(_OWN).setLevel(logging.INFO)
    logging.getLogger("distributed").setLevel(logging.WARNING)


def _log_warning(message: Warning | str, *_: object, **__: object) -> None:
    logging.getLogger(_OWN).warning("%s", message)
