import subprocess
import sys

import pytest


class TestWorker:
    @pytest.mark.slow
    def test_does_not_start_where_gunicorn_is_to_speak_tls(self) -> None:
        worker = ["--worker-class", "webhooks_project.web.Worker", "--no-control-socket"]
        command = [sys.executable, "-m", "gunicorn", "webhooks_project.wsgi", *worker]

        started = subprocess.run(
            [*command, "--bind", "127.0.0.1:0", "--certfile", __file__, "--keyfile", __file__],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

        assert started.returncode == 1
        assert "leave --certfile and --keyfile to the proxy" in started.stderr
        assert "Traceback" not in started.stderr
