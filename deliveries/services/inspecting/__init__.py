"""Inspecting: what is right and what is wrong with the signature of a request that somebody pasted.

Each part is looked at by itself, and where the signature does not fit, the likely reasons are tried: a body
that something changed, a secret that was pasted in another form, a content put together in another way.

The secrets of a webhook tell right from wrong and nothing else: what they would sign is never returned. But
whoever asks about them learns whether a body they guess is the one that was signed, so ask only for people
who may see bodies.
"""

from deliveries.services.inspecting.examples import Example, example
from deliveries.services.inspecting.findings import Finding, Inspection, Verdict
from deliveries.services.inspecting.inspection import MAX_BODY, MAX_HEADERS, inspect

__all__ = ["MAX_BODY", "MAX_HEADERS", "Example", "Finding", "Inspection", "Verdict", "example", "inspect"]
