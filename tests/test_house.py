"""The house is as drawn: floors, a closed network while testing, no work hidden in a broker's delays."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_floors_hold() -> None:
    # In a process of its own: it sets logging up for itself, and other tests look at what is logged.
    program = Path(sys.executable).with_name("lint-imports")
    linted = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout


class TestNetwork:
    def test_is_closed_to_every_address_but_this_machine(self) -> None:
        with socket.socket() as outside, pytest.raises(PermissionError, match="network is closed"):
            outside.connect(("192.0.2.1", 80))

    def test_is_closed_to_every_name(self) -> None:
        with pytest.raises(socket.gaierror, match="network is closed"):
            socket.getaddrinfo("example.com", 80)


def test_no_delay_lives_in_the_broker() -> None:
    words = re.compile(r"\b(countdown|eta)\s*=|\.retry\(|autoretry_for")
    offenders = [
        path.name
        for path in (ROOT / "deliveries").rglob("*.py")
        if words.search(path.read_text(encoding="utf-8"))
    ]

    assert offenders == []
