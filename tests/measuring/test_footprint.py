"""What a process takes of the machine."""

import subprocess
import sys
import time

from tests.measuring import footprint
from tests.waiting import wait_until

# Uses a third of a second of CPU, in a child of its own that ends, and then waits to be killed.
_PARENT = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"], check=True)
print("done", flush=True)
time.sleep(60)
"""


class TestCpu:
    def test_counts_children_that_have_ended(self) -> None:
        with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "done\n"

            cpu = footprint.cpu(parent.pid)
            parent.kill()

        assert 0.25 < cpu < 3

    def test_counts_children_that_live(self) -> None:
        program = (
            "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(60)"
        )
        shell = ["/bin/sh", "-c", f'"{sys.executable}" -c "$0"; true', program]
        with subprocess.Popen(shell, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "done\n"

            cpu, family = footprint.cpu(parent.pid), footprint.family(parent.pid)
            for pid in family:
                subprocess.run(["/bin/kill", "-9", str(pid)], check=False)

        assert 0.25 < cpu < 3

    def test_is_nothing_of_what_has_ended(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()

        wait_until(lambda: footprint.cpu(process.pid) == 0, what="nothing")

    def test_does_not_count_time_that_nothing_is_done(self) -> None:
        with subprocess.Popen(["/bin/sleep", "60"]) as process:
            before = footprint.cpu(process.pid)
            time.sleep(0.3)

            assert footprint.cpu(process.pid) - before < 0.1
            process.kill()
