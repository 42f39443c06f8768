"""The figures that are to be reached, and what was measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A figure to reach: what is done, the goal, and what it means to somebody who runs the service."""

    what: str
    goal: str
    meaning: str


# In the order of the document.
ROWS = {
    "worker-killed": Row(
        "50 x `kill -9` of a worker in 60 s at 200 events/s",
        "0 lost; duplicates per kill <= in flight + 50",
        "Workers may die at any moment. What one had under way another sends again, a few requests twice."
        " What three in a row have died with is set aside for a person to look at.",
    ),
    "after-sigkill": Row(
        "its deliveries after a SIGKILL",
        "under way again within lease + 2 s",
        "How long the deliveries of a dead worker wait for another one.",
    ),
    "sigterm": Row(
        "20 x SIGTERM under load",
        "0 lost, 0 duplicates, exit <= 30 s each",
        "A deployment in the middle of the day: nobody notices.",
    ),
    "redis": Row(
        "Redis stopped, flushed every second, full, silent",
        "0 lost, ingest p99 < 300 ms, delivery p95 <= 2.5 s",
        "Redis only makes things faster. Whatever happens to it, events are taken and delivered.",
    ),
    "rings": Row(
        "100,000 rings of the doorbell",
        "sends = deliveries; Redis list < 1,000 after 10 s",
        "A wake-up says that there is work, not which: heard a thousand times it changes nothing.",
    ),
    "beat": Row(
        "no beat; three beats",
        "same results, 0 duplicates",
        "The scheduler does the housekeeping and nothing else.",
    ),
    "migration": Row(
        "online migration N -> N+1 under load",
        "0 errors, no lock wait > 2 s, 0 lost",
        "A new version is migrated to while the old one works, and takes over in the middle of the traffic.",
    ),
    "disk-full": Row(
        "disk full: PostgreSQL's, SQLite's",
        "503 until there is room, no partial rows, 0 lost",
        "A full disk is told to whoever publishes, and nothing is half stored.",
    ),
    "clocks": Row(
        "clocks of two workers +/- 2 h apart; clocks that step",
        "0 early retries, 0 extra duplicates; the database's forward: duplicates <= in flight",
        "What time a worker's machine thinks it is does not matter: the database's clock counts.",
    ),
    "postgresql-crash": Row(
        "PostgreSQL crash x 10",
        "every acknowledged event present; delivering again <= 10 s after it accepts",
        "What was answered with 202 is in the database, whatever happens to it next.",
    ),
    "postgresql-restart": Row(
        "PostgreSQL restart (fast) x 5",
        "503 until it is back, 0 lost; delivering again <= 10 s after it accepts",
        "A restart of the database is a pause. Publishers get 503 with Retry-After meanwhile.",
    ),
    "postgresql-locked": Row(
        "the table of deliveries locked for 20 s",
        "0 lost, no more connections than before; delivering again <= 10 s after",
        "A careless lock costs time. Nothing piles up behind it.",
    ),
    "postgresql-snapshot": Row(
        "a long transaction of somebody else",
        "0 lost, delivery p95 <= 2.5 s",
        "A dump or a report may run beside the traffic.",
    ),
    "failover": Row(
        "primary killed, standby promoted",
        "synchronous: 0 lost; asynchronous: printed",
        "A failover keeps what was replicated. Replicate synchronously, and that is everything.",
    ),
    "backends-terminated": Row(
        "backends terminated every 200 ms for 60 s",
        "0 lost, attempts unique",
        "Connections to the database may break in the middle of anything.",
    ),
    "half-open": Row(
        "half-open database or Redis socket",
        "self-recovery <= 30 s",
        "A connection that says nothing any more is noticed, and given up for a new one.",
    ),
    "worker-paused": Row(
        "worker paused 1.5 x lease",
        "<= 1 duplicate per paused delivery, no state going backwards",
        "A frozen machine that wakes up finds its work done by others, and spoils none of it.",
    ),
    "slow-servers": Row(
        "slow servers of every kind, http and https",
        "each attempt ends at its deadline +/- 0.5 s, also as its receiver sees it; other webhooks' p95 < 2 x"
        " or + 100 ms",
        "No receiver holds us longer than its webhook's timeout.",
    ),
    "bodies": Row(
        "1,000 endless, compressed or 3xx bodies",
        "<= 64 KiB read each, beside what the kernel's buffers take; RSS +< 20 MB at any moment",
        "No receiver can fill our memory.",
    ),
    "network": Row(
        "connections to receivers broken every half second, on a slow network",
        "0 lost",
        "A connection that breaks costs an attempt, or the request is sent once more at once.",
    ),
    "rebinding": Row(
        "10,000 requests to names that change their address",
        "no connection to where nothing may be sent; a careless client makes one",
        "Who controls a name cannot lead us into our own network with it.",
    ),
    "one-hangs": Row(
        "1 of 100 webhooks hangs",
        "others' p99 moves < 10 %",
        "A receiver that does not answer costs the others nothing.",
    ),
    "down-for-days": Row(
        "endpoint down for days (compressed), then back",
        "schedule kept within its jitter, disabled once with a reason, held and failed arrive 100 %",
        "Nothing is thrown away for a receiver that is away: enable its webhook, redeliver what had failed.",
    ),
    "one-slow": Row(
        "1 slow receiver of 20 with 10 x the share of the traffic",
        "others' p95 < 2 x or + 100 ms; no more under way for it than its share and its max_in_flight",
        "A slow receiver that is sent much is slow for itself alone.",
    ),
    "held": Row(
        "20,000 held deliveries, receiver comes back",
        "1 probe first, ramp within the cap, all delivered, others' p95 not doubled, or + 100 ms",
        "Who was down for long is not knocked over by what has piled up.",
    ),
    "disabled": Row(
        "disable or delete under load",
        "no hit later than timeout + 1 s after the commit",
        "Switched off is switched off.",
    ),
    "sqlite": Row(
        "SQLite size: 12 writers for 60 s; 20 x `kill -9`",
        '0 "database is locked"; 0 lost',
        "The small installation keeps the promise as well.",
    ),
    "restored": Row(
        "a backup is restored",
        "nothing sent until an operator says so; to nobody whose webhook was disabled meanwhile",
        "A restored database does not repeat what it has forgotten, unless somebody wants it to.",
    ),
    "soak": Row(
        "one hour at 200/s",
        "RSS slope < 1 MB/min; fds, threads, connections flat",
        "Nothing leaks: what runs for an hour runs for months.",
    ),
    "killing-payload": Row(
        "a payload that kills its worker; children killed as the kernel does it for their memory",
        "set aside after 3 claims, others delivered",
        "One poisonous event does not bring the service down.",
    ),
    "stop-signals": Row(
        "SIGTERM twice, SIGQUIT, SIGTERM to the whole group",
        "exit <= 35 s, 0 lost",
        "Supervisors differ in how they stop a process; none of the ways hangs or loses anything.",
    ),
    "lease-forced": Row(
        "lease ends while the request is still under way",
        "<= 1 duplicate each, final state right",
        "It cannot happen by arithmetic; forced, it does no harm.",
    ),
    "webhook-edited": Row(
        "URL changed between two attempts",
        "each attempt is logged with the URL it went to",
        "Changes count from the next attempt on.",
    ),
    "secret-rotated": Row(
        "secret rotated under load",
        "100 % of the requests verify with the old secret or the new",
        "Rotating a secret needs no pause.",
    ),
    "retrigger-raced": Row(
        "200 retriggers raced with requests under way",
        "each accepted = one new round, 0 lost",
        "A double click sends once.",
    ),
}


@dataclass
class Figures:
    """Where figures go: a line on the terminal, and a file that keeps the last long run of each row.

    :param path: of the file; None for the terminal alone.
    :param machine: what the run is on, in a line.
    :param commit: of the code that is run.
    """

    path: Path | None
    seed: int
    machine: str = ""
    commit: str = ""

    def add(
        self, row: str, *, case: str = "", passed: bool, measured: Mapping[str, object], long: bool
    ) -> None:
        """Report what was measured for a row of `ROWS`, or for a case of it.

        :raises KeyError: there is no such row.
        """
        figure = ROWS[row]
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in measured.items())
        verdict = "reached" if passed else "MISSED"
        title = f"{figure.what} ({case})" if case else figure.what
        print(f"{title}: {said} [goal: {figure.goal}; {verdict}]")  # noqa: T201
        if self.path is None or not long:
            return
        figures = read(self.path)
        figures.setdefault(row, {})[case] = Measured(
            said=said,
            passed=passed,
            seed=self.seed,
            at=datetime.now(UTC).isoformat(timespec="minutes"),
            machine=self.machine,
            commit=self.commit,
        )
        rows = {row: {case: asdict(each) for case, each in cases.items()} for row, cases in figures.items()}
        self.path.write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of one case of a row, when, and on what."""

    said: str
    passed: bool
    seed: int
    at: str
    machine: str
    commit: str


def read(path: Path) -> dict[str, dict[str, Measured]]:
    """Return what a file holds, by row and case; nothing when there is none."""
    rows = json.loads(path.read_text()) if path.exists() else {}
    return {row: {case: Measured(**each) for case, each in cases.items()} for row, cases in rows.items()}
