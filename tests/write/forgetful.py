"""A bucket that does what it is asked to, and whose answers are lost on their way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from tests.servers.buckets import BucketServer

Loss = Literal["500", "dropped"]
LOSSES: tuple[Loss, ...] = ("500", "dropped")


class ForgetfulServer(BucketServer):
    """An S3 service that may store an object, and then answer 500 or nothing at all."""

    def __init__(self) -> None:
        super().__init__()
        self._loss: Loss | None = None
        self._left = 0
        self._ending = ""
        self._lost: list[str] = []

    @contextmanager
    def losing(self, loss: Loss, answers: int = 1, ending: str = "") -> Iterator[list[str]]:
        """Lose the answers to the next PUTs of paths with some ending, and give the paths of those."""
        self._loss, self._left, self._ending, self._lost = loss, answers, ending, []
        try:
            yield self._lost
        finally:
            self._left = 0

    def _one_by_one(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., list[bytes]]:
        performed = super()._one_by_one(application)

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            put = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(self._ending)
            if not put or not self._left:
                return performed(environ, start_response)
            self._left -= 1
            self._lost.append(environ["PATH_INFO"])
            performed(environ, lambda *_: None)
            if self._loss == "dropped":
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]

        return answer
