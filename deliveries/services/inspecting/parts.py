"""The three headers of a signature, each with what is to be said of it by itself."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deliveries.services.inspecting.findings import Finding, Verdict
from deliveries.services.inspecting.readings import decoded

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

TOLERANCE = timedelta(minutes=5)
_A_DECADE = 10 * 365 * 24 * 3600
# Seconds that are said as such; more are said in hours and minutes.
_IN_SECONDS = 120
# So many signatures are looked at; no request of ours has more than a few.
MOST = 20
# Bytes of a signature, and characters that are shown of a value.
_SIZE = 32
_SHOWN = 60

_AS_IT_CAME = (
    "Look at the request as it came: a proxy or a framework may have dropped it or given it another name."
)
_FROM_THE_REQUEST = "Take it from the request as it came."
_NO_HEADERS = "Nothing that was pasted looks like a header."
_PASTE_HEADERS = "Paste them one per line, as Name: value."


@dataclass(frozen=True, kw_only=True)
class Part:
    """A header.

    :ivar text: its value; empty where there is none, or no single one.
    """

    text: str
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One of those in the header.

    :ivar digest: what it says, also where it says it in another form; empty where it says nothing.
    :ivar verdict: whether it has the form it must have.
    """

    digest: bytes
    verdict: Verdict
    says: str = ""


# --- The id -----------------------------------------------------------------------------------------------


def identifier(headers: Mapping[str, Sequence[str]]) -> Part:
    """Return the id."""
    part = _single(headers, ID)
    if not part.text:
        return part
    if not re.fullmatch(r"[!-~]{1,255}", part.text):
        says = "It holds something besides the letters, digits and signs that ids are made of."
        return Part(
            text=part.text, finding=Finding(part=ID, verdict=Verdict.WRONG, says=says, todo=_FROM_THE_REQUEST)
        )
    return part


# --- The timestamp ----------------------------------------------------------------------------------------


def timestamp(headers: Mapping[str, Sequence[str]], *, now: datetime) -> Part:
    """Return the timestamp."""
    part = _single(headers, TIMESTAMP)
    if not part.text:
        return part
    if not re.fullmatch(r"[0-9]{1,20}", part.text):
        says = f"It is no whole number: {part.text[:_SHOWN]}"
        todo = "It must be in Unix seconds: digits, and nothing else."
        finding = Finding(part=TIMESTAMP, verdict=Verdict.WRONG, says=says, todo=todo)
    else:
        finding = _of_moment(int(part.text), now=now)
    return Part(text=part.text, finding=finding)


def moment(text: str) -> datetime | None:
    """Return when a request with this timestamp was sent; None where it says no moment."""
    try:
        return datetime.fromtimestamp(int(text), tz=UTC) if text.isascii() and text.isdigit() else None
    except (ValueError, OverflowError, OSError):
        return None


def _of_moment(seconds: int, *, now: datetime) -> Finding:
    present = int(now.timestamp())
    for unit, factor in (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)):
        if abs(seconds // factor - present) < _A_DECADE:
            says = f"It is in {unit}. As such it {_distance(seconds // factor - present)}."
            return Finding(part=TIMESTAMP, verdict=Verdict.WRONG, says=says, todo="It must be in seconds.")
    ahead = seconds - present
    says = f"It {_distance(ahead)}"
    if abs(ahead) <= TOLERANCE.total_seconds():
        return Finding(part=TIMESTAMP, verdict=Verdict.RIGHT, says=f"{says}, within five minutes.")
    if ahead < 0:
        todo = "A receiver refuses it now. If it was so old when it came, look at the receiver's clock."
    else:
        todo = "Somebody's clock is wrong: look at the sender's and at the receiver's."
    says = f"{says}; more than five minutes are refused."
    return Finding(part=TIMESTAMP, verdict=Verdict.WRONG, says=says, todo=todo)


def _distance(ahead: int) -> str:
    """Say how far a moment is away, in words that complete "It"."""
    seconds = abs(ahead)
    try:
        span = f"{seconds} s" if seconds <= _IN_SECONDS else str(timedelta(seconds=seconds))
    except OverflowError:
        span = "ages"
    return f"lies {span} ahead" if ahead > 0 else f"is {span} old"


# --- The signatures ---------------------------------------------------------------------------------------


def signatures(headers: Mapping[str, Sequence[str]]) -> tuple[Finding, Sequence[Signature]]:
    """Return what there is to say of the header, and the signatures in it."""
    values = [value for value in headers.get(SIGNATURE, []) if value]
    if not values:
        finding = _missing(headers, SIGNATURE)
        return finding, []
    texts = re.split(r"[\s]+|,\s+", " ".join(values).strip())
    found = [_signature(text) for text in texts[:MOST] if text]
    number = "one signature" if len(found) == 1 else f"{len(texts)} signatures"
    says = f"It holds {number}"
    if len(texts) > MOST:
        says = f"{says}, of which the first {MOST} are looked at"
    return Finding(part=SIGNATURE, verdict=Verdict.RIGHT, says=f"{says}."), found


def _signature(text: str) -> Signature:
    version, comma, value = text.partition(",")
    if "***" in text:
        return Signature(digest=b"", verdict=Verdict.UNKNOWN, says="It is masked, as logs show it.")
    if comma and version != "v1":
        says = f"It is of version {version[:_SHOWN]}, which receivers pass over: v1 is what counts."
        return Signature(digest=b"", verdict=Verdict.UNKNOWN, says=says)
    if comma:
        return _of_value(value)
    bare = _of_value(text.removeprefix("v1="))
    return Signature(digest=bare.digest, verdict=Verdict.WRONG, says="It must begin with v1 and a comma.")


def _of_value(value: str) -> Signature:
    with_padding = _strictly(value)
    if len(with_padding) == _SIZE:
        return Signature(digest=with_padding, verdict=Verdict.RIGHT)
    if re.fullmatch("[0-9a-fA-F]{64}", value):
        says = "It is in hexadecimal, and must be in base64."
        return Signature(digest=bytes.fromhex(value), verdict=Verdict.WRONG, says=says)
    digest = decoded(value)
    if len(digest) == _SIZE:
        says = "It is in another alphabet of base64, or lacks its padding."
        return Signature(digest=digest, verdict=Verdict.WRONG, says=says)
    if digest:
        says = f"It stands for {len(digest)} bytes instead of {_SIZE}; something may have cut it."
        return Signature(digest=digest, verdict=Verdict.WRONG, says=says)
    return Signature(digest=b"", verdict=Verdict.WRONG, says="Behind v1 and the comma is no base64.")


def _strictly(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


# --- Any of them ------------------------------------------------------------------------------------------


def _single(headers: Mapping[str, Sequence[str]], name: str) -> Part:
    values = {value for value in headers.get(name, []) if value}
    if not values:
        return Part(text="", finding=_missing(headers, name))
    if len(values) > 1:
        says = f"It is there {len(values)} times, with different values."
        todo = "Paste the headers of one request only."
        return Part(text="", finding=Finding(part=name, verdict=Verdict.WRONG, says=says, todo=todo))
    return Part(text=values.pop(), finding=Finding(part=name, verdict=Verdict.RIGHT, says="It is there."))


def _missing(headers: Mapping[str, Sequence[str]], name: str) -> Finding:
    if not headers:
        return Finding(part=name, verdict=Verdict.WRONG, says=_NO_HEADERS, todo=_PASTE_HEADERS)
    number = "the one header" if len(headers) == 1 else f"the {len(headers)} headers"
    says = f"It is not among {number} that were pasted."
    return Finding(part=name, verdict=Verdict.WRONG, says=says, todo=_AS_IT_CAME)
