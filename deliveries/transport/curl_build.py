"""Whether the libcurl at hand does what the engine rests on: it comes with pycurl, and there are many."""

from datetime import timedelta

import pycurl

from deliveries.transport.base import Request
from deliveries.transport.curl_connections import Connections
from deliveries.transport.curl_handles import Handle


def trouble() -> str:
    """Have libcurl try a request it must not get out, and return what is wrong with it, if anything is."""
    if "OpenSSL/" not in pycurl.version:
        return f"its certificates can be read of OpenSSL alone, and this is {pycurl.version}"
    try:
        handle = Handle("", Connections())
        handle.load(
            Request(
                url="http://127.0.0.1:9/", method="GET", headers={}, body=b"", timeout=timedelta(seconds=1)
            ),
            group=0,
        )
    except (AttributeError, pycurl.error) as error:
        return f"it has no such option ({error})"
    try:
        handle.easy.perform()
    except pycurl.error:
        if handle.needs_connection:
            return ""
    return "it opens connections by itself"
