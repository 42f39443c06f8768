"""Run the tests the way everybody does: `make test`, or `python -m tests.run [options] [pytest's arguments]`.

    python -m tests.run                              everything, on SQLite and then on PostgreSQL and Redis
    python -m tests.run --database sqlite -k retry   some, on SQLite
    python -m tests.run -n 0 --pdb tests/test_x.py   one file, with a debugger

Each run leaves out the tests that are for the other database, and says how many (see `one_database.py`). For
PostgreSQL, private servers are started, and stopped at the end; servers that already run on this machine are
not touched. Of the shell's variables pytest gets only the harmless ones in `KEPT`, so your DATABASE_URL or
proxy changes nothing.

Ends with 0 when every run passed; otherwise with 1, and the last lines say which did not.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from cryptography.fernet import Fernet

from tests.servers import binaries
from tests.servers.folders import throw_away_folder
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import ServerFailed, ending_with_parent
from tests.servers.redis import Redis

ROOT = Path(__file__).resolve().parent.parent
KEPT = {
    "CI",
    "COLUMNS",
    "FORCE_COLOR",
    "HOME",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "PATH",
    "TERM",
    "TMPDIR",
    "USER",
    "WEBHOOKS_TRANSPORT",
}
# The settings want keys that nobody knows.
KEYS = {
    "SECRET_KEY": secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.run", epilog="All other arguments go to pytest.", allow_abbrev=False
    )
    parser.add_argument("--database", choices=[*RUNS, "both"], default="both")
    parser.add_argument("-n", default="2", help="processes that share the tests, 2 by default; 0: no sharing")
    options, for_pytest = parser.parse_known_args(arguments)
    databases = [database for database in RUNS if options.database in (database, "both")]

    failed = False
    verdicts = []
    try:
        # What is missing should not come up only after the first run.
        if "postgresql" in databases:
            binaries.postgresql()
            binaries.redis()
            binaries.faketime()
        binaries.curl()
        binaries.chromium()
        for database in databases:
            _say(f"\n--- Tests on {database} ---")
            started = time.monotonic()
            exit_code = RUNS[database](["-n", options.n, "--dist=loadgroup", "--durations=10", *for_pytest])
            failed = failed or exit_code != 0
            outcome = "FAILED" if exit_code else "passed"
            verdicts.append(f"Tests on {database}: {outcome} in {time.monotonic() - started:.0f} s")
    except (binaries.NotInstalled, ServerFailed) as error:
        _say(str(error))
        return 1
    _say("\n" + "\n".join(verdicts))
    return 1 if failed else 0


def run_on_sqlite(arguments: Sequence[str]) -> int:
    """Run pytest on SQLite and the broker in memory, and return its exit code."""
    with throw_away_folder("sqlite") as folder:
        url = f"sqlite:///{folder / 'webhooks.sqlite3'}"
        return _run_pytest(arguments, {"DATABASE_URL": url})


def run_on_postgresql(arguments: Sequence[str]) -> int:
    """Run pytest on private PostgreSQL and Redis servers, and return its exit code.

    :raises binaries.NotInstalled: a server is missing on this machine.
    :raises ServerFailed: a server did not start.
    """
    with PostgreSQL() as postgresql, Redis() as redis:
        urls = {"DATABASE_URL": postgresql.url("webhooks"), "REDIS_URL": redis.url()}
        return _run_pytest(arguments, urls)


RUNS = {"sqlite": run_on_sqlite, "postgresql": run_on_postgresql}


def _run_pytest(arguments: Sequence[str], urls: dict[str, str]) -> int:
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "tests.one_database", *arguments],
        cwd=ROOT,
        env={**kept, **KEYS, **urls},
        preexec_fn=ending_with_parent(signal.SIGTERM),
    )
    try:
        return process.wait()
    except SystemExit:  # a SIGTERM, which only we got
        process.send_signal(signal.SIGINT)
        raise
    finally:
        process.wait()  # after Ctrl-C, which pytest got as well, it still has things to put away


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    """Leave through every `finally` and `with`, which Python does not do by itself."""
    sys.exit(128 + number)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # pytest writes to the same place


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    # A shell has what it starts in the background ignore Ctrl-C, and so would all processes of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
