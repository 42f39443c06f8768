"""Find the programs the tests need on this machine, or install them where that needs no password."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Where Debian puts `initdb` and `postgres`, which it keeps off the path.
DEBIAN_FOLDERS = "/usr/lib/postgresql"
OLDEST_POSTGRESQL = 15
OLDEST_REDIS = 7

# Debian would also make a cluster on port 5432 and start it at every boot; nobody asked for that one.
_INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
drop_in=/etc/postgresql-common/createcluster.d/no-main-cluster.conf
mkdir -p "${drop_in%/*}"
echo 'create_main_cluster = false' >"$drop_in"
trap 'rm -f "$drop_in"' EXIT
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$1"
"""


class NotInstalled(Exception):
    """A program is missing; the message is a sentence that says how to install it."""


def postgresql() -> Path:
    """Return the folder that holds `initdb` and `postgres`, after installing them if need be.

    :raises NotInstalled: they are missing or too old, and could not be installed without a password.
    """
    name = f"PostgreSQL {OLDEST_POSTGRESQL} or newer, with its initdb"
    return _find_or_install(_find_postgresql, name=name, package="postgresql")


def redis() -> Path:
    """Return the path of `redis-server`, after installing it if need be.

    :raises NotInstalled: it is missing or too old, and could not be installed without a password.
    """
    name = f"redis-server {OLDEST_REDIS} or newer"
    return _find_or_install(_find_redis, name=name, package="redis-server")


def curl() -> Path:
    """Return the path of `curl`, which newcomers paste commands for, after installing it if need be.

    :raises NotInstalled: it is missing, and could not be installed without a password.
    """
    return _find_or_install(lambda: _on_path("curl"), name="curl", package="curl")


def chromium() -> Path:
    """Return the path of Debian's `chromium`, the browser of the tests, after installing it if need be.

    :raises NotInstalled: it is missing, and could not be installed without a password.
    """
    return _find_or_install(_find_chromium, name="Chromium", package="chromium")


def faketime() -> Path:
    """Return the library that shows a program another time, after installing it if need be.

    :raises NotInstalled: it is missing, and could not be installed without a password.
    """
    return _find_or_install(_find_faketime, name="libfaketime", package="faketime")


def php() -> Path:
    """Return the path of `php`, after installing it if need be.

    :raises NotInstalled: it is missing, and could not be installed without a password.
    """
    return _find_or_install(lambda: _on_path("php"), name="PHP", package="php-cli")


def ruby() -> Path:
    """Return the path of `ruby`, after installing it if need be.

    :raises NotInstalled: it is missing, and could not be installed without a password.
    """
    return _find_or_install(lambda: _on_path("ruby"), name="Ruby", package="ruby")


def go() -> Path:
    """Return the path of `go`, which is too large to be installed for one test.

    :raises NotInstalled: it is missing.
    """
    found = _on_path("go")
    if found is None:
        raise NotInstalled("Go is not here, and at half a gigabyte not installed for one test.")
    return found


def _find_or_install(find: Callable[[], Path | None], *, name: str, package: str) -> Path:
    found = find()
    if found is None and _install(package):
        found = find()
    if found is None:
        raise NotInstalled(
            f"The tests need {name}: run 'sudo apt-get install {package}' or what your system says instead,"
            " then try again."
        )
    return found


def _find_postgresql() -> Path | None:
    newest_first = sorted(Path(DEBIAN_FOLDERS).glob("*/bin"), key=_number_in_parent, reverse=True)
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent, *newest_first] if on_path else newest_first
    return next((folder for folder in folders if _holds_postgresql(folder)), None)


def _holds_postgresql(folder: Path) -> bool:
    initdb, postgres = folder / "initdb", folder / "postgres"
    return initdb.exists() and postgres.exists() and _major(postgres) >= OLDEST_POSTGRESQL


def _number_in_parent(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


def _find_redis() -> Path | None:
    on_path = shutil.which("redis-server")
    if on_path is None or _major(Path(on_path)) < OLDEST_REDIS:
        return None
    return Path(on_path)


def _find_chromium() -> Path | None:
    return _on_path("chromium") or _on_path("chromium-browser")


def _find_faketime() -> Path | None:
    # The variant for programs with threads.
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _major(program: Path) -> int:
    """Return the first number in what the program says about its version."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+", answer)
    return int(number.group()) if number else 0


def _install(package: str) -> bool:
    """Install a Debian package, and return whether that worked."""
    as_root = _as_root()
    if as_root is None or shutil.which("apt-get") is None:
        return False
    sys.stderr.write(f"Installing {package} with apt-get, for the tests ...\n")
    installing = subprocess.run(
        [*as_root, "sh", "-c", _INSTALL, "sh", package],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if installing.returncode != 0:
        sys.stderr.write(installing.stdout)
    return installing.returncode == 0


def _as_root() -> list[str] | None:
    """Return what to write before a command to run it as root, or None where root wants a password."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    asking = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if asking.returncode == 0 else None
