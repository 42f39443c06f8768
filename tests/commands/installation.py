"""Commands as processes of their own, on a database of their own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers.process import ending_with_parent

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 30

# Published the way a customer's program does, by the service itself: one event to each URL.
PUBLISH = """
import json, sys
from django.utils import timezone
from deliveries.models import Account
from deliveries.services import publishing, webhooks

now = timezone.now()
account = Account.objects.create(name="Harbour Calls", created_at=now)
webhooks.create(
    account=account, name="CRM", url={url!r}, events=["*"], max_retries=0, by="a test", now=now
)
for number in range({count}):
    publishing.publish(account=account, event_type="call.ended", payload={{"number": number}}, now=now)
"""


class Installation:
    """A database with the service's tables, and commands that work on it."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": "",
            "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true",
            "WEBHOOKS_REQUIRE_HTTPS": "false",
            "WEBHOOKS_POLL_INTERVAL": "0.1",
        }

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command, on pipes unless told otherwise."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=stdout,
            stderr=stderr,
            text=True,
            preexec_fn=ending_with_parent(signal.SIGKILL),
        )

    def manage(self, *arguments: str) -> str:
        """Run a command and return what it printed."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, stderr
        return stdout

    def publish(self, url: str, *, count: int = 1) -> None:
        """Publish some events to one webhook."""
        self.manage("shell", "--no-imports", "--command", PUBLISH.format(url=url, count=count))

    def status(self) -> dict[str, Any]:
        """Return the numbers of the queue."""
        numbers: dict[str, Any] = json.loads(self.manage("queue_status", "--json"))
        return numbers
