"""Places: where a run puts what it makes, on a disk or in a bucket, each object there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from urllib.parse import unquote
from uuid import uuid4

from eoscale.access import objects
from eoscale.access.bucket import BucketPath
from eoscale.errors import AccessError, RecipeError, scrub
from eoscale.write.whole import whole

Place: TypeAlias = Path | BucketPath
PlaceLike: TypeAlias = str | PathLike[str] | BucketPath


def place(text: PlaceLike) -> Place:
    """Return the place that a text names: an absolute path, or one in a bucket.

    Raises
    ------
    RecipeError
        If it is a URL of anything else, or of no object.

    Examples
    --------
    >>> place("s3://bucket/greenland.zarr").name, place("/data/greenland.zarr").name
    ('greenland.zarr', 'greenland.zarr')
    """
    if isinstance(text, BucketPath):
        return text
    scheme, separator, path = str(text).partition("://")
    if not separator:
        return Path(text).absolute()
    if scheme == "file":
        return Path(unquote(path))
    if scheme not in objects.BUCKETS:
        raise RecipeError(f"{_scrubbed(text)} cannot be written: give a path, or a URL of s3, gs or az")
    try:
        return BucketPath.of(str(text))
    except AccessError:
        raise RecipeError(
            f"{_scrubbed(text)} is no place in a bucket: give e.g. s3://bucket/greenland.zarr"
        ) from None


def _scrubbed(text: PlaceLike) -> str:
    try:
        return scrub(str(text))
    except ValueError:  # no URL, so nobody can say which of its parts are secret
        return "a URL"


def put(at: Place, content: bytes) -> None:
    """Write an object, whatever was there. The folder of a file must be there."""
    if isinstance(at, BucketPath):
        at.write_bytes(content)
        return
    with whole(at) as hidden:
        hidden.write_bytes(content)


@contextmanager
def near(at: Place) -> Iterator[Path]:
    """Give an object as a file: itself, or a copy of what lies in a bucket."""
    if isinstance(at, Path):
        yield at
        return
    with TemporaryDirectory(prefix="eoscale-") as folder:
        copy = Path(folder, at.name)
        copy.write_bytes(at.read_bytes())
        yield copy


def create(at: Place, content: bytes) -> bool:
    """Write an object where there is none, and return whether it was written."""
    if isinstance(at, BucketPath):
        return at.create(content)
    mine = at.with_name(f".{at.name}.{uuid4().hex[:12]}")
    mine.write_bytes(content)
    try:
        # a link, unlike a rename, never replaces what is there, and what it shows is whole
        at.hardlink_to(mine)
    except (FileExistsError, FileNotFoundError):  # somebody else may have removed ours
        return False
    finally:
        mine.unlink(missing_ok=True)
    return True


def part(at: Place, start: int, stop: int) -> bytes:
    """Return the bytes ``start <= position < stop`` of an object."""
    if isinstance(at, BucketPath):
        return at.read_part(start, stop)
    with at.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


def make(folder: Place) -> None:
    """Make a folder, where folders have to be made."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def sizes(folder: Place) -> dict[str, int]:
    """Return the size in bytes of each object below a folder, by its path from there."""
    if isinstance(folder, BucketPath):
        return folder.sizes()
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it has just been renamed
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def lengths(folder: Place, names: Sequence[str]) -> dict[str, int]:
    """Return the size in bytes of some objects below a folder, as far as they are there."""
    if isinstance(folder, BucketPath):
        if len(names) > 1:  # pages of a thousand names come faster than as many answers
            found = folder.sizes()
            return {name: found[name] for name in names if name in found}
        asked = {name: (folder / name).size() for name in names}
        return {name: size for name, size in asked.items() if size is not None}
    there = {}
    for name in names:
        with suppress(FileNotFoundError):
            there[name] = (folder / name).stat().st_size
    return there


def folders(folder: Place) -> set[str]:
    """Return the names of the folders that lie right in a folder."""
    if isinstance(folder, BucketPath):
        return {name.partition("/")[0] for name in folder.sizes() if "/" in name}
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


def contents(folder: Place, names: Sequence[str]) -> dict[str, bytes]:
    """Return some objects below a folder, as far as they are there."""
    if isinstance(folder, BucketPath):
        found = zip(names, folder.read_below(names), strict=True)
        return {name: content for name, content in found if content}
    there = {}
    for name in names:
        with suppress(FileNotFoundError):
            there[name] = (folder / name).read_bytes()
    return there


def remove(at: Place) -> None:
    """Remove an object, or a folder with all below it, if there is one."""
    if isinstance(at, BucketPath):
        at.remove()
    elif at.is_dir():
        shutil.rmtree(at, ignore_errors=True)
    else:
        at.unlink(missing_ok=True)
