"""Names that lie, in a process whose name server is ours: run in a namespace of its own where that works.

There `getaddrinfo` asks our name server on port 53, by files that only this process sees, and no packet
leaves the machine. It takes `unshare`, and a kernel that lets this user make namespaces. Elsewhere a stub
resolver asks the same name server on another port, put in at the one place where an engine takes a lookup.
The result says which it was.
"""

import fcntl
import json
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

from deliveries.addresses import AddressPolicy
from deliveries.transport import Exchange, Reply, resolving
from deliveries.transport.resolving import system_lookup
from tests.transport.conftest import ENGINES, Sender, a_request
from tests.transport.hostile import OK, Receiver, answering_once, receiver
from tests.transport.nameserver import NO_SUCH_NAME, SERVER_FAILURE, Answer, ask, name_server
from tests.waiting import wait_until

# Both are this machine. One stands for the public internet and is let pass, the other is off limits.
PUBLIC, FORBIDDEN = "127.0.0.2", "127.0.0.1"
POLICY = AddressPolicy(allowed_networks=(ip_network(f"{PUBLIC}/32"),), require_https=False)
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
SLOTS = 32

LIES: dict[str, Answer] = {
    "nowhere": NO_SUCH_NAME,
    "broken": SERVER_FAILURE,
    "empty": [],
    "private": [FORBIDDEN],
    "mixed": [PUBLIC, FORBIDDEN],
    "mixed-families": [PUBLIC, "::1"],
    "mapped": [PUBLIC, "::ffff:127.0.0.1"],
    "compatible": [PUBLIC, "::127.0.0.1"],
    "nat64": [PUBLIC, "64:ff9b::7f00:1"],
    "6to4": [PUBLIC, "2002:7f00:1::"],
    "link-local": [PUBLIC, "fe80::1"],
    "unique-local": [PUBLIC, "fd00:ec2::254"],
    "metadata": ["169.254.169.254"],
    "silent": None,
}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a run came to.

    :param mode: "namespace" or "stub".
    :param lies: the outcome for each name of `LIES`, with the seconds it took.
    :param rebinding: outcomes of exchanges with names that change their answer, and how often.
    :param connects: connections that reached the public and the forbidden address while engines sent.
    :param control: the same for a client that looks up, checks, looks up again and connects.
    :param p95: seconds of exchanges with healthy names alone, and beside names that are never answered.
    """

    mode: str
    lies: dict[str, tuple[str, float]]
    rebinding: dict[str, int]
    connects: dict[str, int]
    control: dict[str, int]
    p95: dict[str, float]


def run(engine: str, *, rebindings: int) -> Findings:
    """Have an engine send to names that lie, in a namespace of its own if there can be one."""
    here = [sys.executable, "-m", __name__, engine, str(rebindings)]
    command = [*NAMESPACE, *here, "namespace"] if _namespaces_work() else [*here, "stub"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Findings(**json.loads(done.stdout))


def _namespaces_work() -> bool:
    if shutil.which(NAMESPACE[0]) is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def zone(name: str, asked_before: int) -> Answer:
    """Answer for one name after the other of the scenarios."""
    kind = name.split(".")[0].split("-of-")[-1]
    if kind == "flipping":
        return [FORBIDDEN] if asked_before else [PUBLIC]
    if kind == "good":
        return [PUBLIC]
    return LIES.get(kind, NO_SUCH_NAME)


def settle_in() -> None:
    """Make this namespace a machine with a loopback interface and a name server, which is ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh", b"lo", 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
    folder = Path(tempfile.mkdtemp())
    for name, text in (("resolv.conf", f"nameserver {FORBIDDEN}\n"), ("nsswitch.conf", "hosts: files dns\n")):
        (folder / name).write_text(text)
        subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)


class Scenarios:
    """What is tried, one after the other."""

    def __init__(self, engine: str, lookup: Callable[[str], Sequence[str]]) -> None:
        self.lookup = lookup
        # Answers hold for no time at all, so ours must not hide what the name server says next.
        resolving.ANSWER_LIFETIME = 0.0
        self.sender = Sender(ENGINES[engine](POLICY, slots=SLOTS, lookup=lookup))

    def lies(self, port: int) -> dict[str, tuple[str, float]]:
        """Send to each name that lies."""
        exchanges = self.sender.send_all(
            [a_request(f"http://{kind}.example.com:{port}/", timeout=timedelta(seconds=5)) for kind in LIES]
        )
        return {
            kind: (
                str(getattr(exchange.outcome, "reason", "answered")),
                exchange.duration.total_seconds(),
            )
            for kind, exchange in zip(LIES, exchanges, strict=True)
        }

    def rebinding(self, port: int, times: int) -> dict[str, int]:
        """Send to many names, to each before and after it has changed its answer."""
        urls = [f"http://n{number}-of-flipping.example.com:{port}/" for number in range(times // 2)]
        requests = [a_request(url) for url in urls]
        return dict(Counter(str(outcome) for _ in range(2) for outcome in self.sender.reasons(requests)))

    def control(self, port: int) -> None:
        """Do what a careless client does: check the first answer, and connect to the second."""
        name = "careless-of-flipping.example.com"
        assert list(self.lookup(name)) == [PUBLIC]
        for address in self.lookup(name):
            socket.create_connection((address, port), timeout=5).close()

    def p95(self, port: int) -> dict[str, float]:
        """Send to healthy names alone, and while half of the slots wait for names that are never answered."""
        # Every answer ends its connection, so that every exchange looks its name up.
        alone = self._p95(port)
        for number in range(SLOTS // 2):
            url = f"http://n{number}-of-silent.example.com/"
            self.sender.transport.submit(uuid4(), a_request(url, timeout=timedelta(seconds=5)))
        return {"alone": alone, "beside": self._p95(port)}

    def _p95(self, port: int) -> float:
        durations = []
        for number in range(100):
            key = uuid4()
            url = f"http://n{number % 10}-of-good.example.com:{port}/"
            self.sender.transport.submit(key, a_request(url))
            while not (found := [each for each in self._collect() if each.key == key]):
                pass
            assert isinstance(found[0].outcome, Reply), repr(found[0].outcome)
            durations.append(found[0].duration.total_seconds())
        return statistics.quantiles(durations, n=20)[-1]

    def _collect(self) -> list[Exchange]:
        return self.sender.transport.collect(timedelta(seconds=5))


def _connected(public: Receiver, forbidden: Receiver) -> dict[str, int]:
    return {"public": public.accepted, "forbidden": forbidden.accepted}


def main(engine: str, rebindings: str, mode: str) -> None:
    """Run the scenarios and write what they came to."""
    if mode == "namespace":
        settle_in()
    with (
        name_server(zone, address=FORBIDDEN, port=53 if mode == "namespace" else 0) as names,
        receiver(answering_once(OK), address=PUBLIC) as public,
        receiver(answering_once(OK), address=FORBIDDEN, port=public.port) as forbidden,
    ):
        scenarios = Scenarios(engine, system_lookup if mode == "namespace" else partial(ask, names.port))
        lies = scenarios.lies(public.port)
        rebinding = scenarios.rebinding(public.port, int(rebindings))
        connects = _connected(public, forbidden)
        scenarios.control(public.port)
        wait_until(lambda: _connected(public, forbidden) != connects, what="the control's connection")
        control = _connected(public, forbidden)
        findings = Findings(
            mode=mode,
            lies=lies,
            rebinding=rebinding,
            connects=connects,
            control={where: control[where] - connects[where] for where in control},
            p95=scenarios.p95(public.port),
        )
        sys.stdout.write(json.dumps(asdict(findings)) + "\n")
        scenarios.sender.transport.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
