"""Which key and which content a signature was made with."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from deliveries import signing
from deliveries.services.inspecting.contents import Content
from deliveries.services.inspecting.keys import Key
from deliveries.services.inspecting.parts import Signature


class Fit(NamedTuple):
    """What a signature was made with."""

    key: Key
    content: Content


def find(
    signatures: Sequence[Signature], keys: Sequence[Key], contents: Iterable[Content]
) -> Mapping[int, Fit]:
    """Return what signatures fit, by their numbers: of the first content that any of them fits."""
    digests = {number: each.digest for number, each in enumerate(signatures) if each.digest}
    if not digests or not keys:
        return {}
    for content in contents:
        found: dict[int, Fit] = {}
        for key in keys:
            expected = signing.digest(content.signed, key.data)
            for number, digest in digests.items():
                if hmac.compare_digest(expected, digest):
                    found.setdefault(number, Fit(key, content))
        if found:
            return found
    return {}
