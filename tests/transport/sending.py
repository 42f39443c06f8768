"""One request from a process of its own: for what an engine takes from the environment it starts in.

.venv/bin/python -m tests.transport.sending ENGINE URL CA_FILE
"""

import sys

from tests.transport.conftest import ENGINES, LOOPBACK, Sender, a_request


def main(engine: str, url: str, ca_file: str) -> None:
    """Send, and write what came of it."""
    transport = ENGINES[engine](LOOPBACK, ca_file=ca_file)
    (outcome,) = Sender(transport).reasons([a_request(url)])
    sys.stdout.write(f"{outcome}\n")
    transport.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
