"""A real STAC API: stac-fastapi-pgstac over PostgreSQL with PostGIS, in a folder of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

ABSENT = "there is no PostgreSQL with PostGIS on this machine"
"""Why tests are skipped; CI looks for it."""
_SECONDS = 120.0
"""That the services may take to start."""


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, of the newest version that has PostGIS; None without."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *_on_path()]
    good = [folder for folder in found if (folder / "postgres").exists() and _has_postgis(folder)]
    return max(good, default=None)


def _on_path() -> list[Path]:
    program = shutil.which("postgres")
    return [Path(program).resolve().parent] if program else []


def _has_postgis(folder: Path) -> bool:
    shares = [Path("/usr/share/postgresql") / folder.parent.name, folder.parent / "share" / "postgresql"]
    return any((share / "extension" / "postgis.control").exists() for share in shares)


class PgStac:
    """A database and an API over it, for as long as the context lasts.

    Both speak on 127.0.0.1 alone. PostgreSQL refuses to be root's, so it is another user's then.
    """

    def __init__(self, collections: Iterable[Mapping[str, Any]], items: Iterable[Mapping[str, Any]]) -> None:
        self.tables = {"collections": list(collections), "items": list(items)}
        self._stack = ExitStack()
        programs = binaries()
        assert programs, ABSENT
        self._programs = programs
        other = pwd.getpwnam("nobody")
        self._as_other: dict[str, Any] = {}
        if not os.getuid():
            self._as_other = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        self._port, self._web = _free_port(), _free_port()
        self.host = f"127.0.0.1:{self._web}"
        self.address = f"http://{self.host}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(tempfile.mkdtemp(prefix="pgstac"))
            stack.callback(shutil.rmtree, self._folder)
            if self._as_other:
                shutil.chown(self._folder, "nobody")
            self._database(stack)
            self._load()
            self._api(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _database(self, stack: ExitStack) -> None:
        data = self._folder / "data"
        settled = ["-U", "pgstac", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._ran(self._programs / "initdb", "-D", data, *settled, **self._as_other)
        settings = {"port": self._port, "listen_addresses": "127.0.0.1", "fsync": "off", "timezone": "UTC"}
        settings["unix_socket_directories"] = str(self._folder)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGINT: it closes connections and stops; SIGTERM would wait for who is connected
        postgres = [self._programs / "postgres", "-D", data, *options]
        self._run(stack, postgres, signal.SIGINT, **self._as_other)
        _until(lambda: self._ran(self._programs / "pg_isready", check=False).returncode == 0)

    def _load(self) -> None:
        """Make the tables, fill them, and have pages tell the number of all items."""
        pypgstac = Path(sys.executable).parent / "pypgstac"
        self._ran(pypgstac, "migrate")
        for table, rows in self.tables.items():
            file = self._folder / f"{table}.ndjson"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            self._ran(pypgstac, "load", table, file, "--method", "insert")
        counting = "UPDATE pgstac.pgstac_settings SET value = 'on' WHERE name = 'context'"
        self._ran(self._programs / "psql", "-c", counting)

    def _api(self, stack: ExitStack) -> None:
        words = ["-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app", "--log-level", "warning"]
        place = ["--host", "127.0.0.1", "--port", str(self._web)]
        self._run(stack, [sys.executable, *words, *place], signal.SIGTERM)
        _until(lambda: _listens(self._web))  # which it does when all is ready

    def _environment(self) -> dict[str, str]:
        """Return where the database is, in the words of all that use it."""
        told = {"HOST": "127.0.0.1", "PORT": str(self._port), "USER": "pgstac", "PASSWORD": "none"}
        return {f"PG{name}": value for name, value in told.items()} | {"PGDATABASE": "postgres"}

    def _ran(self, *words: object, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run a program to its end."""
        done = subprocess.run(  # noqa: S603  programs of this machine
            [*map(str, words)],
            check=False,
            env={**os.environ, **self._environment()},
            cwd=self._folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **more,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def _run(self, stack: ExitStack, words: list[Any], stop: signal.Signals, **more: Any) -> None:  # noqa: ANN401
        """Run a service until the context ends."""
        log = stack.enter_context((self._folder / f"{Path(words[0]).name}.log").open("wb"))
        process = subprocess.Popen(  # noqa: S603  programs of this machine
            list(map(str, words)),
            env={**os.environ, **self._environment()},
            cwd=self._folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            **more,
        )

        def end() -> None:
            process.send_signal(stop)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        stack.callback(end)


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


def _until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not ready():
        assert time.monotonic() < end, "the service did not start"
        time.sleep(0.05)
