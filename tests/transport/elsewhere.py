"""Hostile receivers in a process of their own, so that what they hold is not taken for what we hold.

with elsewhere.receivers("floods") as targets:
    targets.urls["body: gzip"]
targets.taken["body: gzip"]     # for each connection, the bytes that the receiver's side has taken
targets.lasted["body: gzip"]    # for each connection, the seconds until the client hung up
"""

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.servers.process import ending_with_parent
from tests.transport import hostile, kinds


@dataclass
class Targets:
    """What runs elsewhere."""

    urls: Mapping[str, str]
    taken: Mapping[str, list[int]] = field(default_factory=dict)
    lasted: Mapping[str, list[float]] = field(default_factory=dict)


@contextmanager
def receivers(family: str, *, certificate: str = "") -> Iterator[Targets]:
    """Run one receiver of each kind of a family.

    :param family: one of `kinds.FAMILIES`.
    :param certificate: a file with a certificate and its key, in PEM; plain HTTP without.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, family, certificate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=ending_with_parent(signal.SIGKILL),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            targets = Targets(urls=json.loads(process.stdout.readline()))
            yield targets
            process.stdin.close()
            targets.taken = json.loads(process.stdout.readline())
            targets.lasted = json.loads(process.stdout.readline())
        finally:
            process.kill()


def main(family: str, certificate: str) -> None:
    """Run the receivers until standard input ends; write their URLs, and in the end what they saw."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    with ExitStack() as running:
        targets = {
            kind: running.enter_context(hostile.receiver(behaviour, tls=tls))
            for kind, behaviour in kinds.FAMILIES[family].items()
        }
        _say({kind: target.url() for kind, target in targets.items()})
        sys.stdin.read()
        _say({kind: [each.sent for each in target.conversations] for kind, target in targets.items()})
        _say({kind: [each.lasted for each in target.conversations] for kind, target in targets.items()})


def _say(data: object) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
