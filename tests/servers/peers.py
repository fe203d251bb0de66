"""How others read a byte range of a URL, each by its documented call and its own retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import fsspec
import obstore
import requests
import s3fs
from fsspec.asyn import sync
from obstore.exceptions import BaseError
from obstore.store import HTTPStore
from requests.adapters import HTTPAdapter

Read = Callable[[int, int], bytes]
"""From start and stop to the bytes between."""


class Peer(NamedTuple):
    """A client, opened on a URL for as long as the context lasts, and what it raises."""

    opened: Callable[[str, int], AbstractContextManager[Read]]
    """Given the URL and how many threads read at once."""
    errors: tuple[type[Exception], ...]


@contextmanager
def _s3fs(url: str, _threads: int) -> Iterator[Read]:
    """Read an object whose bucket is the first part of its path."""
    parts = urlsplit(url)
    files = s3fs.S3FileSystem(anon=True, endpoint_url=f"http://{parts.netloc}", skip_instance_cache=True)
    files.connect()  # before threads do, each for itself
    try:
        yield lambda start, stop: bytes(files.cat_file(parts.path.lstrip("/"), start=start, end=stop))
    finally:
        sync(files.loop, files.s3.__aexit__, None, None, None)


@contextmanager
def _fsspec(url: str, _threads: int) -> Iterator[Read]:
    files = fsspec.filesystem("http", skip_instance_cache=True)
    session = sync(files.loop, files.set_session)
    try:
        yield lambda start, stop: bytes(files.cat_file(url, start=start, end=stop))
    finally:
        sync(files.loop, session.close)


@contextmanager
def _requests(url: str, threads: int) -> Iterator[Read]:
    def read(start: int, stop: int) -> bytes:
        answer = session.get(url, headers={"Range": f"bytes={start}-{stop - 1}"}, timeout=60)
        answer.raise_for_status()
        return answer.content

    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=threads))
        yield read


@contextmanager
def _obstore(url: str, _threads: int) -> Iterator[Read]:
    parts = urlsplit(url)
    store = HTTPStore.from_url(f"http://{parts.netloc}", client_options={"allow_http": True})
    yield lambda start, stop: bytes(obstore.get_range(store, parts.path.lstrip("/"), start=start, end=stop))


PEERS = {
    "s3fs": Peer(_s3fs, (OSError,)),
    "fsspec http": Peer(_fsspec, (aiohttp.ClientError, OSError)),
    "requests": Peer(_requests, (requests.RequestException,)),
    "obstore": Peer(_obstore, (BaseError,)),
}
