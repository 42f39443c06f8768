"""What is typed: the words of `make`, and `manage.py` itself."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deliveries.management.try_it import words
from tests.up.service import ROOT, surroundings

pytestmark = pytest.mark.sqlite

ODD_NAMES = ["/tmp/x", "/tmp/it's mine", "/tmp/my $HOME `data` $(x)", '/tmp/"quoted" #1 = 100%', "/tmp/ü\\n"]


def what_make_runs(command: str) -> list[str]:
    """Return the last command `make` would run, in words, after this line in a shell."""
    dry = command.replace("make", "make --no-print-directory -n", 1)
    done = subprocess.run(
        ["sh", "-c", dry], cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=True
    )
    return shlex.split(done.stdout.splitlines()[-1])


class TestWords:
    def test_are_short_where_nothing_is_special(self) -> None:
        assert words.hello(ROOT / "var") == "make hello"
        assert words.run(ROOT / "var") == "make run"

    def test_name_what_is_special(self) -> None:
        command = words.run(Path("/tmp/my data"), host="0.0.0.0", port=8010)

        assert command == "make run PORT=8010 HOST=0.0.0.0 DATA='/tmp/my data'"

    @pytest.mark.parametrize("folder", ODD_NAMES)
    def test_come_through_the_shell_and_make(self, folder: str) -> None:
        assert what_make_runs(words.hello(Path(folder)))[-2:] == ["hello", f"--data-dir={folder}"]
        assert what_make_runs(words.run(Path(folder), port=8010))[-3:] == [
            "up",
            "--port=8010",
            f"--data-dir={folder}",
        ]

    def test_keep_an_empty_folder_for_the_command_to_refuse(self) -> None:
        assert what_make_runs("make run DATA=")[-1] == "--data-dir="

    def test_are_not_read_from_the_shells_variables(self) -> None:
        assert what_make_runs("DATA=/elsewhere make run")[-1] == "up"


class TestManage:
    def test_says_when_there_is_no_django(self) -> None:
        # Without the packages that are installed.
        done = subprocess.run(
            [sys.executable, "-I", "-S", "manage.py", "up"],
            cwd=ROOT,
            env=surroundings(),
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        assert done.stderr == (
            "Django is not installed for this Python: run `make run`, or `.venv/bin/python manage.py ...`.\n"
        )


class TestCheck:
    def test_depends_on_nothing_of_the_shells(self) -> None:
        *_, deploy = what_make_check_runs()

        done = subprocess.run(
            ["sh", "-c", deploy],
            cwd=ROOT,
            env={**surroundings(), "HTTPS": "false", "WEBHOOKS_SLOTS": "none", "SECRET_KEY_FILE": "/nowhere"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr


def what_make_check_runs() -> list[str]:
    """Return what `make check` would run, line by line."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "check"],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\\\n", " ").splitlines()
