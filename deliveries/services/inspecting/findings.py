"""What an inspection comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a part of a request is."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "cannot say"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one part of a request is like.

    :param says: one sentence or two.
    :param todo: what a person can do; empty where nothing needs doing.
    """

    part: str
    verdict: Verdict
    says: str
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a request is like: in one sentence, and part by part.

    :param signed: the bytes that are to be signed, shortened, as text that spells out what cannot be seen.
    :param size: how many bytes that are.
    :param expected: the signature of those bytes by a secret that was typed; never by one of a webhook's.
    """

    verdict: Verdict
    says: str
    findings: Sequence[Finding] = ()
    signed: str = ""
    size: int = 0
    expected: str = ""
