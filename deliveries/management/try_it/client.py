"""Talking to the running service over HTTP, as any consumer would, and to nobody else."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

# The service is on this machine; a proxy of the shell's would only be in the way.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PATIENCE = 10.0


class Refused(Exception):
    """The service answered with an error."""


class Client:
    """Speaks JSON with the service at one address."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def get(self, path: str) -> Any:
        """Return what the path holds.

        :raises Refused: the answer is not a 2xx.
        :raises OSError: there is no answer.
        """
        return json.loads(self.fetch(path))

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Send JSON and return the JSON that comes back.

        :raises Refused: the answer is not a 2xx.
        :raises OSError: there is no answer.
        """
        return json.loads(self.fetch(path, json.dumps(body).encode()))

    def fetch(self, path: str, body: bytes | None = None) -> bytes:
        """Return the bytes that come back; a POST where there is a body.

        :raises Refused: the answer is not a 2xx.
        :raises OSError: there is no answer.
        """
        headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
        request = urllib.request.Request(f"{self._url}{path}", data=body, headers=headers)  # noqa: S310
        try:
            with _opener.open(request, timeout=_PATIENCE) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise Refused(f"{path} was answered with HTTP {error.code}: {said}") from error
