"""The inspection itself: the parts, what fits, and what there is to say of each."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from deliveries import signing
from deliveries.models import Webhook
from deliveries.services.inspecting import conclusions, contents, fits, parts, pasted
from deliveries.services.inspecting import keys as keyring
from deliveries.services.inspecting.findings import Finding, Inspection, Verdict
from deliveries.services.inspecting.fits import Fit
from deliveries.services.inspecting.keys import Keys
from deliveries.services.inspecting.parts import Signature
from deliveries.services.inspecting.readings import key_of

# In characters and in bytes.
MAX_HEADERS = 64 * 1024
MAX_BODY = 1024 * 1024

BODY = "the body"

_RAW_BODY = "Take the bytes of the request as they came, before anything parses or trims them."
_AS_SHOWN = "Use it exactly as it was shown; what begins with whsec_ is base64 behind that."


def inspect(*, headers: str, body: bytes, against: str | Webhook | None, now: datetime) -> Inspection:
    """Say what is right and what is wrong with the signature of a request.

    Takes anything: what is garbage or too large is said to be so.

    :param headers: as somebody pasted them: see `pasted`.
    :param against: a secret that was typed, or the webhook whose secrets are to be tried.
    """
    if len(headers) > MAX_HEADERS or len(body) > MAX_BODY:
        says = "That is too much to look at: 64 KiB of headers and 1 MiB of body at most."
        return Inspection(verdict=Verdict.UNKNOWN, says=says)
    found = pasted.read(headers)
    message_id, timestamp = parts.identifier(found), parts.timestamp(found, now=now)
    header, signatures = parts.signatures(found)
    keys = keyring.of(against)
    fitting = fits.find(signatures, keys.keys, contents.likely(message_id.text, timestamp.text, body))
    fit = next(iter(fitting.values()), None)
    tried = bool(keys.keys) and any(each.digest for each in signatures)
    findings = [
        message_id.finding,
        timestamp.finding,
        header,
        *_of_signatures(signatures, fitting, has_keys=bool(keys.keys)),
        _of_secret(keys, fit, at=parts.moment(timestamp.text) or now),
        _of_body(body, fit, tried=tried),
    ]
    verdict, says = conclusions.conclude(findings, fit, has_keys=bool(keys.keys), tried=tried)
    told = Inspection(verdict=verdict, says=says, findings=findings)
    if not message_id.text or not timestamp.text:
        return told
    content = contents.right(message_id.text, timestamp.text, body)
    return replace(
        told, signed=contents.spelt(content), size=len(content), expected=_expected(content, against)
    )


def _expected(content: bytes, against: str | Webhook | None) -> str:
    """Return the right signature; none by a webhook's secret: whoever is told it of any content can sign."""
    key = key_of(against) if isinstance(against, str) and len(against) <= keyring.LONGEST else None
    return f"v1,{base64.b64encode(signing.digest(content, key)).decode()}" if key else ""


# --- The signatures ---------------------------------------------------------------------------------------


def _of_signatures(
    signatures: Sequence[Signature], fitting: Mapping[int, Fit], *, has_keys: bool
) -> list[Finding]:
    several = len(signatures) > 1
    names = [f"signature {number + 1}" if several else "the signature" for number in range(len(signatures))]
    return [
        _of_fitting(name, signature, fitting[number])
        if number in fitting
        else _of_other(name, signature, fits_exist=bool(fitting), has_keys=has_keys)
        for number, (name, signature) in enumerate(zip(names, signatures, strict=True))
    ]


def _of_fitting(name: str, signature: Signature, fit: Fit) -> Finding:
    verdict, todo = Verdict.WRONG, ""
    if fit.content.way:
        says, todo = (
            f"It was made {fit.content.way}.",
            "Sign the id, the timestamp and the body, in that order.",
        )
    elif signature.verdict is Verdict.WRONG:
        says = f"It would fit. {signature.says}"
    elif fit.content.change:
        says = "It fits another form of the body."
    else:
        verdict, says = Verdict.RIGHT, "It fits."
    return Finding(part=name, verdict=verdict, says=says, todo=todo)


def _of_other(name: str, signature: Signature, *, fits_exist: bool, has_keys: bool) -> Finding:
    if signature.verdict is not Verdict.RIGHT:
        return Finding(part=name, verdict=signature.verdict, says=signature.says)
    if fits_exist:
        says = "Another secret made it, as while one is being replaced."
        return Finding(part=name, verdict=Verdict.UNKNOWN, says=says)
    if not has_keys:
        return Finding(part=name, verdict=Verdict.UNKNOWN, says="It has the right form.")
    says = "It has the right form, and fits nothing that was tried."
    return Finding(part=name, verdict=Verdict.WRONG, says=says)


# --- The secret and the body ------------------------------------------------------------------------------


def _of_secret(keys: Keys, fit: Fit | None, *, at: datetime) -> Finding:
    if fit is None:
        return keys.finding
    key = fit.key
    if key.reading:
        says = f"It fits when it is read {key.reading}."
        return replace(keys.finding, verdict=Verdict.WRONG, says=says, todo=_AS_SHOWN)
    if key.until is not None and key.until <= at:
        says = f"{key.name} made it; that was over when the request was sent."
        return replace(keys.finding, verdict=Verdict.WRONG, says=says, todo="Sign with the present one.")
    return replace(keys.finding, verdict=Verdict.RIGHT, says=f"{key.name} made the signature.", todo="")


def _of_body(body: bytes, fit: Fit | None, *, tried: bool) -> Finding:
    size = f"{len(body):,} {'byte' if len(body) == 1 else 'bytes'}"
    if fit is not None and fit.content.change:
        says = f"The signature fits it {fit.content.change}."
        return Finding(part=BODY, verdict=Verdict.WRONG, says=says, todo=_RAW_BODY)
    if fit is not None:
        return Finding(part=BODY, verdict=Verdict.RIGHT, says=f"The signature fits it as it is, {size}.")
    if not tried:
        return Finding(part=BODY, verdict=Verdict.UNKNOWN, says=f"It has {size}.")
    says = (
        f"It has {size}. Neither as it is nor in any form it is likely to have had does a signature fit it."
    )
    todo = f"{_RAW_BODY} Or the secret is another one."
    return Finding(part=BODY, verdict=Verdict.UNKNOWN, says=says, todo=todo)
