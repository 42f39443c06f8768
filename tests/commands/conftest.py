"""Commands, run as a person would."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.core.management import call_command


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
