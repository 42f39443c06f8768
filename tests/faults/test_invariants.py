"""The invariants see what is wrong: each is broken on purpose here, behind the service's back."""

import http.client
import os
import re
import signal
from pathlib import Path

import pytest

from tests.faults import figures, invariants
from tests.faults.figures import Figures
from tests.faults.scene import Scene, Size
from tests.measuring.controller import Acknowledged, Published
from tests.service import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

NOBODYS = "00000000-0000-0000-0000-000000000000"
OVERDUE = (
    "status = 'pending', due_at = now() - interval '1 hour', next_attempt_id = id, scheduled_at = now(),"
    " finished_at = NULL"
)
DONE = "status = 'succeeded', due_at = NULL, next_attempt_id = NULL, scheduled_at = NULL, finished_at = now()"
# A second attempt of an event's delivery.
REFUSED = """
INSERT INTO deliveries_attempt (id, delivery_id, webhook_id, number, round, created_at, started_at, duration,
    succeeded, reason_code, error, url, http_method, request_headers)
SELECT gen_random_uuid(), delivery_id, webhook_id, 2, round, created_at, started_at, duration,
    false, 'connection_refused', '', url, http_method, request_headers
FROM deliveries_attempt WHERE delivery_id = (SELECT id FROM deliveries_delivery WHERE event_id = '{event_id}')
RETURNING id
"""


class TestNeverLogged:
    def test_names_whatever_is_logged_as_an_error(self) -> None:
        """But for a worker without children, which is a fault met, and not one made."""
        events = set()
        for path in (ROOT / "deliveries").rglob("*.py"):
            lines = path.read_text().splitlines()
            for number, line in enumerate(lines):
                if re.search(r"logger\.(exception|error|critical)\(", line):
                    # In the call, or in the `extra` made right before it.
                    near = lines[number : number + 5] + lines[number - 1 :: -1][:6]
                    found = re.search(r'"event": "([a-z_.]+)"', "\n".join(near))
                    events |= {found[1]} if found else set()

        assert events - {"worker.childless"} == set(invariants.NEVER_LOGGED)


class TestInvariants:
    def test_hold_where_nothing_is_wrong_and_name_what_is(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.start(webhooks=2)
        first, _ = (scene.publish(each.agent_id) for each in scene.subscriptions)
        wait_until(lambda: scene.receiver.count() == 2, timeout=10, what="arrivals")
        scene.settle()
        # It would take up what is put in its way here.
        os.killpg(scene.workers[0].pid, signal.SIGSTOP)
        here, there = (each.webhook_id for each in scene.subscriptions)

        def changing(table: str, change: str, back: str, *words: str) -> None:
            """Change the rows of the first event, see what is said, and change them back."""
            where = f"event_id = '{first}'"
            if table == "attempt":
                where = f"delivery_id = (SELECT id FROM deliveries_delivery WHERE {where})"
            scene.stack.rows(f"UPDATE deliveries_{table} SET {change} WHERE {where} RETURNING id")
            says(*words)
            scene.stack.rows(f"UPDATE deliveries_{table} SET {back} WHERE {where} RETURNING id")

        def says(*words: str) -> None:
            with pytest.raises(AssertionError) as problems:
                invariants.check(scene)
            assert all(each in str(problems.value) for each in words), problems.value

        invariants.check(scene)
        scene.published.append(Published([Acknowledged(NOBODYS, "", 0, 0, 1)]))
        says(f"acknowledged event {NOBODYS} is not in the database")
        scene.published.pop()
        scene.published.append(Published(given_up=1))
        says("nothing was acknowledged of order 2")
        scene.published.pop()
        published = scene.published.pop()
        says("1 events are stored that were not acknowledged, and 0 were given up")
        scene.published.append(published)
        changing(
            "delivery",
            f"webhook_id = '{there}'",
            f"webhook_id = '{here}'",
            f"event {first} has 0 deliveries to /0",
            f"/1 has never seen event {first}",
        )
        changing("delivery", OVERDUE, DONE, "1 deliveries are leased or overdue")
        changing(
            "delivery",
            "status = 'failed'",
            "status = 'succeeded'",
            "its last attempt says otherwise",
            "1 deliveries failed that were answered with a 2xx, 0 allowed",
            f"the delivery of event {first} to /0 has failed",
        )
        changing(
            "attempt",
            "succeeded = false, reason_code = 'worker_killed'",
            "succeeded = true, reason_code = ''",
            "1 deliveries were set aside, 0 allowed",
        )
        changing("attempt", "number = 2", "number = 1", "counts 1 attempts and has [2]")
        changing("attempt", "round = 2", "round = 1", "is in round 1 and has attempts of rounds [2]")
        whose = f"(SELECT id FROM deliveries_delivery WHERE event_id = '{first}')"
        adopt = "UPDATE deliveries_attempt SET delivery_id = {} WHERE delivery_id = {} RETURNING id"
        scene.stack.rows(adopt.format(f"'{NOBODYS}'", whose))
        says(f"there are attempts of {NOBODYS}, which is no delivery")
        more = "UPDATE deliveries_webhookhealth SET attempts_kept = attempts_kept + {} RETURNING webhook_id"
        scene.stack.rows(more.format(1))
        says("is said to have 2 attempts and has 1")
        scene.stack.rows(more.format(-1))
        scene.stack.rows(adopt.format(whose, f"'{NOBODYS}'"))

        with monkeypatch.context() as patch:
            patch.setattr(invariants, "MORE_THREADS", -1)
            says("threads")
        with monkeypatch.context() as patch:
            patch.setattr(invariants, "SLOTS", -100)
            says("sockets")
        log = scene.stack.folder / "odd.log"
        log.write_text(scene.words)
        says("odd.log holds the payload")
        for event in invariants.NEVER_LOGGED:
            log.write_text(f'{{"event": "{event}"}}')
            says(f'odd.log says {{"event": "{event}"}}')
        scene.excused.add(event)
        invariants.check(scene)
        scene.excused.clear()
        log.unlink()

        invariants.check(scene)
        # One that was refused has sent nothing, so it does not account for what arrives.
        refused = scene.stack.rows(REFUSED.format(event_id=first))[0][0]
        send(scene.receiver.port, first)
        says(f"1 duplicates, 0 allowed: {first} at /0", "no signature that fits", "another body")
        scene.stack.rows(f"DELETE FROM deliveries_attempt WHERE id = '{refused}' RETURNING id")
        scene.receiver.forget()
        says("has succeeded, and /0 has never seen")
        send(scene.receiver.port, NOBODYS)
        says(f"event {NOBODYS} has arrived and has no delivery")
        scene.receiver.forget()
        self.leave_nothing_wrong(scene)
        scene.kill(scene.workers[0])
        with pytest.raises(AssertionError, match="every worker has died"):
            scene.wait_for_workers()
        scene.ended.clear()
        says("has ended by itself with -9")
        scene.ended += scene.workers

    def test_decide_with_the_scenario_whether_a_goal_was_reached(self, scene: Scene, tmp_path: Path) -> None:
        scene.size = Size(long=True)
        scene.figures = Figures(path=tmp_path / "figures.json", seed=1)

        for row, held in (("soak", True), ("held", False)):
            scene.figure(row, passed=True, lost=0)
            scene.report(held=held)

        kept = figures.read(tmp_path / "figures.json")
        assert {row: cases[""].passed for row, cases in kept.items()} == {"soak": True, "held": False}

    def leave_nothing_wrong(self, scene: Scene) -> None:
        """The receiver has forgotten what it saw, so that there is nothing left to check the rows against."""
        scene.subscriptions.clear()


def send(port: int, event_id: str) -> None:
    """Send what the service has not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/0", body=b"{}", headers={"webhook-id": event_id, "webhook-timestamp": "1"})
    connection.getresponse().read()
    connection.close()
