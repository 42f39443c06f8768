"""What a run is on: the machine and the versions that matter."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.servers import binaries
from tests.service import ROOT


def describe() -> str:
    """Return it in a line.

    :raises binaries.NotInstalled: a server is missing.
    """
    parts = [
        f"{os.cpu_count()} x {_processor()}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("Django", "Celery", "psycopg", "requests", "pycurl")),
        f"PostgreSQL {_number(binaries.postgresql() / 'postgres')}",
        f"Redis {_number(binaries.redis())}",
    ]
    return ", ".join(parts)


def commit() -> str:
    """Return which commit the code is of, and whether it is changed; empty outside a repository."""
    found = _git("rev-parse", "--short", "HEAD")
    if found.returncode != 0:
        return ""
    # The figures themselves change while they are measured.
    changed = _git("diff", "--quiet", "HEAD", "--", ".", ":!docs/reliability.*", ":!docs/performance*")
    return found.stdout.strip() + ("-dirty" if changed.returncode else "")


def _git(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _number(program: Path) -> str:
    """Return the first word with a dot in it of what a program says about its version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return next(word for word in said.replace("v=", "").split() if "." in word and word[0].isdigit())
