"""A real PostgreSQL for tests, of the newest version installed (Debian: `apt-get install postgresql`).

    with running_postgres() as server:
        create_async_engine(server.create_database())

It listens on a socket in a directory of its own, on no port.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_START_SECONDS = 30.0


class PostgresServer:
    """One server in one directory; it can be stopped, killed and started again."""

    def __init__(self, directory: Path) -> None:
        """directory: empty, with a path that is short enough for a socket (about 90 bytes)."""
        self._binaries = _binaries()
        self._directory = directory
        user = _unprivileged()
        # Not Popen's `user`: that forks, which a process that uses gRPC must not.
        self._as_user = ("setpriv", f"--reuid={user}", "--clear-groups") if user else ()
        self._process: subprocess.Popen[bytes] | None = None
        if user is not None:
            shutil.chown(directory, user)
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "data"
        )

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._directory}"

    def create_database(self, template: str = "template1") -> str:
        """URL of a new database, a copy of the database `template`."""
        name = f"test_{uuid4().hex[:12]}"
        self.query(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def query(self, sql: str, database: str = "postgres") -> str:
        """Runs one statement; returns what psql prints."""
        arguments = ("--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", f"--command={sql}")
        return self._run("psql", f"--host={self._directory}", "--username=postgres", database, *arguments)

    def dump_and_restore(self, database: str) -> str:
        """URL of a new database made from a dump of this one, by PostgreSQL's own programs."""
        place = (f"--host={self._directory}", "--username=postgres")
        url = self.create_database()
        self._run("pg_dump", *place, "--format=custom", "--file=dump", database)
        name = url.partition("@/")[2].partition("?")[0]
        self._run("pg_restore", *place, "--clean", "--if-exists", f"--dbname={name}", "dump")
        return url

    def start(self) -> None:
        """Returns when it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as_user,
                    str(self._binaries / "postgres"),
                    *("-D", "data", "-k", str(self._directory), "-c", "listen_addresses="),
                    *("-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60"),
                ],
                cwd=self._directory,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.query("SELECT 1")
            except subprocess.CalledProcessError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    msg = f"PostgreSQL does not start: {(self._directory / 'log').read_text()}"
                    raise RuntimeError(msg) from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Ends it at once, but cleanly: its connections break."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._as_user, str(self._binaries / program), *arguments],
            cwd=self._directory,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server that is stopped, and its files deleted, at the end."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    server: PostgresServer | None = None
    try:
        server = PostgresServer(directory)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()  # nothing is worth a checkpoint
        shutil.rmtree(directory, ignore_errors=True)


def _binaries() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        msg = "these tests need a PostgreSQL server: apt-get install postgresql (or put initdb on PATH)"
        raise RuntimeError(msg)
    return versions[-1].parent


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: whom to run it as then; None: as ourselves."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
