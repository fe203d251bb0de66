"""A real S3 service over HTTP, moto's, in a thread, with one bucket."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from urllib.request import Request, urlopen

import obstore
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config

_FORBIDDEN = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed")


class BucketServer:
    """An S3 service that takes one request after another, which makes a conditional PUT atomic as at AWS.

    Moto looks at If-Match and stores the object in two steps, between which its threads may change.
    """

    bucket = "indexes"

    def __init__(self, refuses: Callable[[dict[str, Any]], str] = lambda _environ: "") -> None:
        self._refuses = refuses
        """Returns the code of S3 by which a request is refused, from its WSGI environment; or nothing."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._turn = Lock()
        self._changed: Callable[[str], None] = lambda _path: None
        self.answered: Counter[tuple[str, str]] = Counter()
        """How often a method was answered by a status."""

    def __enter__(self) -> Self:
        self._server.start()
        running = self._server._server  # moto gives no other way to its application
        assert running is not None
        running.app = self._one_by_one(running.app)
        self.create(self.bucket)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def address(self) -> str:
        """Of the service."""
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    def create(self, bucket: str) -> None:
        """Make another bucket."""
        urlopen(Request(f"{self.address}/{bucket}", method="PUT")).close()  # noqa: S310  this machine

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put an object into a bucket."""
        config: S3Config = {"region": "us-west-2", "access_key_id": "key", "secret_access_key": "s3cr3t"}
        store = S3Store(bucket, endpoint=self.address, config=config, client_options={"allow_http": True})
        obstore.put(store, key, content)

    @contextmanager
    def hearing(self, changed: Callable[[str], None]) -> Iterator[None]:
        """Tell somebody of each change before it is made: a PUT, a POST or a DELETE."""
        self._changed = changed
        yield
        self._changed = lambda _path: None

    def environment(self) -> dict[str, str]:
        """Return what the ordinary tools of AWS read from the environment."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "s3cr3t",
            "AWS_REGION": "us-west-2",
        }

    def _one_by_one(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., list[bytes]]:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            def start(status: str, *rest: object) -> object:
                self.answered[environ["REQUEST_METHOD"], status[:3]] += 1
                return start_response(status, *rest)

            code = self._refuses(environ)
            if code:
                start("403 Forbidden" if code in _FORBIDDEN else "400 Bad Request", [])
                return [f"<Error><Code>{code}</Code></Error>".encode()]
            with self._turn:
                if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                    self._changed(environ["PATH_INFO"])
                return list(application(environ, start))

        return answer
