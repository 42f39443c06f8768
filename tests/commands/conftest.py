"""Commands, run as a person would."""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from tests.commands.installation import Installation


@dataclass(frozen=True)
class Said:
    """What a command wrote."""

    stdout: str
    stderr: str


Run = Callable[..., Said]


@pytest.fixture
def run(db: None) -> Run:
    """Run a command with these arguments, as a shell would hand them over.

    :raises CommandError: where the command says what is wrong.
    """

    def run(name: str, *arguments: str) -> Said:
        stdout, stderr = io.StringIO(), io.StringIO()
        call_command(name, *arguments, stdout=stdout, stderr=stderr)
        return Said(stdout.getvalue(), stderr.getvalue())

    return run


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A fresh installation on the database under test."""
    if connection.vendor == "sqlite":
        installation = Installation(f"sqlite:///{tmp_path / 'scratch.sqlite3'}")
        installation.manage("migrate", "--verbosity", "0")
        yield installation
        return
    server, name = os.environ["DATABASE_URL"].rsplit("/", 1)[0], f"scratch_{uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name}")
        try:
            installation = Installation(f"{server}/{name}")
            installation.manage("migrate", "--verbosity", "0")
            yield installation
        finally:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
