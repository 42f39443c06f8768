"""What the findings come to, in one sentence."""

from collections.abc import Sequence

from deliveries.services.inspecting import parts
from deliveries.services.inspecting.findings import Finding, Verdict
from deliveries.services.inspecting.fits import Fit


def conclude(
    findings: Sequence[Finding], fit: Fit | None, *, has_keys: bool, tried: bool
) -> tuple[Verdict, str]:
    """Return the verdict on a request.

    :param has_keys: whether there was anything to check with.
    :param tried: whether there was a signature to check besides.
    """
    wrong = [finding.part for finding in findings if finding.verdict is Verdict.WRONG]
    if fit is not None:
        return (Verdict.WRONG, _although_it_fits(wrong, fit)) if wrong else (Verdict.RIGHT, _RIGHT)
    missing = [part for part in wrong if part in (parts.ID, parts.TIMESTAMP)]
    if parts.SIGNATURE in wrong:
        return Verdict.WRONG, "There is no signature to check."
    if not has_keys:
        verdict = Verdict.WRONG if wrong else Verdict.UNKNOWN
        return verdict, "Without a secret nobody can say whether the signature is right."
    if not tried:
        return Verdict.WRONG if wrong else Verdict.UNKNOWN, "There is no signature that could be checked."
    if missing:
        return Verdict.WRONG, f"The signature fits nothing: see {' and '.join(missing)}."
    return Verdict.WRONG, "The signature is wrong, and nothing that is likely to have happened explains it."


_RIGHT = "The signature is right, and recent enough to be taken."


def _although_it_fits(wrong: Sequence[str], fit: Fit) -> str:
    if fit.content.way:
        return f"The signature is wrong: it was made {fit.content.way}."
    if fit.content.change:
        return f"The signature is wrong for this body. It fits it {fit.content.change}."
    if fit.key.reading:
        return f"The signature is right, and the secret is not: it fits when it is read {fit.key.reading}."
    if wrong == [parts.TIMESTAMP]:
        return "The signature is right, but a receiver refuses the request for its timestamp."
    return f"The signature fits, and yet something is wrong: see {' and '.join(wrong)}."
