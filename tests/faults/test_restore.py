"""A backup is restored, the way the operator's guide says."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.scene import POLL, Scene
from tests.servers import binaries

pytestmark = pytest.mark.postgresql


class TestRestore:
    @pytest.mark.long
    def test_sends_nothing_until_somebody_has_looked(self, scene: Scene) -> None:
        """What was delivered after the backup is due again in it, and known to nobody but its receiver."""
        scene.start(webhooks=2, workers=1)
        wanted, unwanted = scene.subscriptions
        for _ in range(5):
            scene.publish()
        scene.settle()
        scene.kill(scene.workers[0])
        for _ in range(20):
            scene.publish(wanted.agent_id)
            scene.publish(unwanted.agent_id)
        backup = dumped(scene)
        scene.start_worker()
        scene.settle()

        stop(scene)
        restore(scene, backup)
        said = scene.stack.manage(
            "pause", "--account", "Harbour", "--for", "2h", "--why", "Restored from a backup."
        )
        arrived = len(scene.receiver.arrivals())
        scene.stack.start_web(workers=2)
        scene.start_worker()
        time.sleep(3 * POLL)

        assert len(scene.receiver.arrivals()) == arrived
        status = scene.stack.manage("queue_status")
        assert "held        40" in status, status
        assert "Restored from a backup." in status, status
        assert scene.stack.call("PUT", unwanted.api, {"enabled": False}).status == 200
        scene.stack.manage("resume", said.rpartition(" ")[2])
        scene.allowed_duplicates = 20
        scene.settle()
        again = [each.path for each in scene.receiver.arrivals()[arrived:]]
        scene.figure(
            "restored",
            passed=again == [wanted.path] * 20 and scene.lost() == 0,
            sent_again=len(again),
            to_what_was_disabled=again.count(unwanted.path),
            lost=scene.lost(),
        )


def stop(scene: Scene) -> None:
    """End web server and workers."""
    for process in scene.stack.processes:
        if process.poll() is None:
            scene.ask_to_end(process)
            process.wait(timeout=30)


def dumped(scene: Scene) -> Path:
    """Make a backup while everything runs."""
    path = scene.stack.folder / "backup"
    program = str(binaries.postgresql() / "pg_dump")
    subprocess.run(
        [program, "--format=custom", f"--file={path}", scene.stack.database_url],
        check=True,
        capture_output=True,
    )
    return path


def restore(scene: Scene, backup: Path) -> None:
    """Put the backup in the place of the database."""
    program = str(binaries.postgresql() / "pg_restore")
    subprocess.run(
        [program, "--clean", f"--dbname={scene.stack.database_url}", str(backup)],
        check=True,
        capture_output=True,
    )
