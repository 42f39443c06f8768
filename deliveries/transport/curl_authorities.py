"""The certificate authorities libcurl trusts, as they were when the engine was made."""

import os
import ssl
from pathlib import Path

import certifi


class Authorities:
    """A copy of their file that nobody can take away.

    libcurl reads the file once a day, and again whenever it begins anew. One that is being replaced just
    then, or is gone with the package it came with, would fail every delivery over TLS.
    """

    def __init__(self, ca_file: str | None) -> None:
        """Read the file, or certifi's.

        :raises OSError: it cannot be read, or holds no certificates.
        """
        self._copy = os.fdopen(os.memfd_create("authorities"), "wb")
        self.path = f"/proc/self/fd/{self._copy.fileno()}"
        try:
            self._copy.write(Path(ca_file or certifi.where()).read_bytes())
            self._copy.flush()
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self.path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._copy.close()
