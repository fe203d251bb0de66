"""Files that are there whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole(path: Path, *, near: Path | None = None) -> Iterator[Path]:
    """Give the path of a hidden sibling to write, which takes the name of the file when all went well.

    Readers find the old file or the new one. Attempts at one file may overlap: each has a sibling of its
    own. What a killed process leaves is hidden.

    Parameters
    ----------
    path : Path
        Replaced if it exists. Its folder must be there: a task that comes late makes no folder anew.
    near : Path, optional
        A hidden folder whose sibling it is, instead of the file's own: so the folder never holds it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.txt"
    ...     with whole(file) as hidden:
    ...         _ = hidden.write_text("all of it")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    name = f".{path.name}" if near is None else near.name
    hidden = (near or path).with_name(f"{name}.{uuid4().hex[:12]}")
    try:
        yield hidden
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
