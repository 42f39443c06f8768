"""The private servers the tests run on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests import run
from tests.servers import binaries, folders, process
from tests.servers.postgresql import Mode, PostgreSQL
from tests.servers.redis import Redis

# Starts both servers, says where they are, and waits to be killed.
OWNER = """
import time
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import Redis

with PostgreSQL() as postgresql, Redis() as redis:
    print(postgresql.port, redis.port, postgresql.folder, redis.folder, flush=True)
    time.sleep(60)
"""


def ask(server: PostgreSQL, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.postgresql
class TestPostgreSQL:
    def test_keeps_its_port_and_its_data_when_it_is_stopped_or_killed(self) -> None:
        with PostgreSQL() as server:
            ask(server, "CREATE TABLE kept AS SELECT 1 AS number")
            port = server.port

            server.stop()
            assert not listens(port)
            server.start()
            server.kill()
            assert not listens(port)
            server.start()

            assert server.port == port
            assert ask(server, "SELECT number FROM kept") == [(1,)]

    @pytest.mark.parametrize("mode", ["fast", "immediate"])
    def test_restarts_under_the_feet_of_its_clients(self, mode: Mode) -> None:
        with PostgreSQL() as server, psycopg.connect(server.url()) as client:
            server.restart(mode)

            with pytest.raises(psycopg.OperationalError):
                client.execute("SELECT 1")
            assert ask(server, "SELECT 1") == [(1,)]

    def test_forgoes_what_only_makes_it_safe(self) -> None:
        with PostgreSQL(settings={"synchronous_commit": "off"}) as server:
            assert ask(server, "SHOW fsync") == [("off",)]
            assert ask(server, "SHOW synchronous_commit") == [("off",)]

    def test_does_not_collide_with_another(self) -> None:
        with PostgreSQL() as one, PostgreSQL() as other:
            ask(one, "CREATE TABLE mine AS SELECT 1")

            assert ask(other, "SELECT to_regclass('mine')") == [(None,)]

    def test_may_begin_with_what_another_has_that_is_stopped(self) -> None:
        with PostgreSQL() as one:
            ask(one, "CREATE TABLE made AS SELECT 1 AS number")
            one.stop()

            with PostgreSQL(like=one) as other:
                ask(other, "UPDATE made SET number = 2")
                one.start()

                assert ask(one, "SELECT number FROM made") == [(1,)]
                assert ask(other, "SELECT number FROM made") == [(2,)]

    def test_leaves_nothing_behind(self) -> None:
        with PostgreSQL() as server:
            folder, port = server.folder, server.port

        assert not folder.exists()
        assert not listens(port)


@pytest.mark.slow
@pytest.mark.postgresql
class TestRedis:
    def test_keeps_its_port_and_forgets_the_rest(self) -> None:
        with Redis() as server, redis.Redis.from_url(server.url()) as client:
            for forget in (server.flush, server.stop, server.kill):
                client.set("key", "value")

                forget()
                if server.pid is None:
                    server.start()

                assert client.get("key") is None

    def test_takes_another_port_when_somebody_was_faster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Redis() as faster:
            ports = iter([faster.port, process.free_port()])
            monkeypatch.setattr(process, "free_port", lambda: next(ports))

            with Redis() as server:
                assert server.port != faster.port


@pytest.mark.slow
@pytest.mark.postgresql
class TestKilledOwner:
    def test_takes_its_servers_along(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", OWNER], cwd=run.ROOT, stdout=subprocess.PIPE, text=True
        ) as owner:
            assert owner.stdout is not None
            first_port, second_port, *left_behind = owner.stdout.readline().split()

            owner.send_signal(signal.SIGKILL)

            deadline = time.monotonic() + process.PATIENCE
            while listens(int(first_port)) or listens(int(second_port)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        for folder in left_behind:
            shutil.rmtree(folder, ignore_errors=True)


class TestThrowAwayFolder:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def test_is_removed_later_when_its_owner_could_not(self, tmp_path: Path) -> None:
        left_behind = tmp_path / f"{folders.PREFIX}postgresql-x"
        left_behind.mkdir()
        os.utime(left_behind, (0, 0))

        folders.remove_left_behind()

        assert not left_behind.exists()

    def test_stays_while_it_is_in_use(self) -> None:
        with folders.throw_away_folder("postgresql") as folder:
            os.utime(folder, (0, 0))

            folders.remove_left_behind()

            assert folder.exists()

    def test_stays_until_its_owner_had_the_time_to_lock_it(self, tmp_path: Path) -> None:
        just_made = tmp_path / f"{folders.PREFIX}postgresql-x"
        just_made.mkdir()

        folders.remove_left_behind()

        assert just_made.exists()


class TestMissingProgram:
    @pytest.fixture(autouse=True)
    def _bare_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(binaries, "DEBIAN_FOLDERS", str(tmp_path))

    @pytest.mark.parametrize("database", ["postgresql", "both"])
    def test_is_a_sentence_and_a_failure(self, database: str, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code = run.main(["--database", database])

        assert exit_code == 1
        assert capsys.readouterr().out == (
            "The tests need PostgreSQL 15 or newer, with its initdb: run 'sudo apt-get install postgresql'"
            " or what your system says instead, then try again.\n"
        )

    def test_is_named_for_redis_too(self) -> None:
        with pytest.raises(binaries.NotInstalled, match="redis-server 7 or newer"):
            binaries.redis()

    def test_may_also_be_one_that_is_too_old(self, tmp_path: Path) -> None:
        old = tmp_path / "redis-server"
        old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0'\n")
        old.chmod(0o755)

        with pytest.raises(binaries.NotInstalled):
            binaries.redis()
