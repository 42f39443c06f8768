"""What is said of a request that somebody pasted: part by part, and what would fit."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings

from deliveries import payloads, signing
from deliveries.models import Webhook
from deliveries.services import inspecting, webhooks
from deliveries.services.inspecting import Finding, Inspection, Verdict, changes, pasted
from tests import builders
from tests.builders import NOW

SECRET = "whsec_" + base64.b64encode(bytes(range(200, 232))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
ID = "0195999e-8a60-7000-8000-00000000000a"
AT = int(NOW.timestamp())
VALUE = {"event": "call.ended", "number": 1.10, "name": "Zoë", "url": "https://example.com/a", "list": [1]}
BODY = payloads.serialise(VALUE)


def signature_of(body: bytes = BODY, *keys: str, message_id: str = ID, timestamp: int = AT) -> str:
    return signing.sign(message_id=message_id, timestamp=timestamp, body=body, keys=keys or [SECRET])


def headers_of(signature: str, *, message_id: str = ID, timestamp: object = AT) -> str:
    return f"webhook-id: {message_id}\nwebhook-timestamp: {timestamp}\nwebhook-signature: {signature}\n"


def inspected(
    headers: str | None = None, body: bytes = BODY, against: str | Webhook | None = SECRET
) -> Inspection:
    """Return what is said of a right request, but for what is given."""
    return inspecting.inspect(
        headers=headers_of(signature_of()) if headers is None else headers,
        body=body,
        against=against,
        now=NOW,
    )


def of(inspection: Inspection, part: str) -> Finding:
    """Return the finding about a part."""
    return next(finding for finding in inspection.findings if finding.part == part)


def wrong_parts(inspection: Inspection) -> list[str]:
    return [finding.part for finding in inspection.findings if finding.verdict is Verdict.WRONG]


class TestRightRequest:
    def test_is_right_in_every_part(self) -> None:
        inspection = inspected()

        assert inspection.verdict is Verdict.RIGHT
        assert inspection.says == "The signature is right, and recent enough to be taken."
        assert {finding.verdict for finding in inspection.findings} == {Verdict.RIGHT}
        assert [finding.part for finding in inspection.findings] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "the signature",
            "the secret",
            "the body",
        ]

    def test_shows_what_is_signed_and_what_a_typed_secret_makes_of_it(self) -> None:
        inspection = inspected(body=b'{"a":\r\n"\x00\xff"}')

        assert inspection.signed == f'{ID}.{AT}.{{"a":<CR><LF>"<U+0000>\\xff"}}'
        assert inspection.size == len(f"{ID}.{AT}.") + 12
        assert inspection.expected == signature_of(b'{"a":\r\n"\x00\xff"}')

    def test_shows_a_long_content_by_its_beginning_and_end(self) -> None:
        inspection = inspected(body=b"a" * 10_000 + b"end")

        assert inspection.signed.startswith(f"{ID}.{AT}.aaaa")
        assert inspection.signed.endswith("aaaend")
        assert " bytes ...] " in inspection.signed
        assert len(inspection.signed) < 600

    @pytest.mark.parametrize("secret", ["plain pässword", "x", "whsec_" + "A" * 43 + "="])
    def test_may_have_a_secret_of_any_form(self, secret: str) -> None:
        inspection = inspected(headers_of(signature_of(BODY, secret)), against=secret)

        assert inspection.verdict is Verdict.RIGHT

    def test_may_have_an_empty_body(self) -> None:
        assert inspected(headers_of(signature_of(b"")), body=b"").verdict is Verdict.RIGHT


class TestPasting:
    SIGNATURE = signature_of()

    @pytest.mark.parametrize(
        "form",
        [
            "Webhook-Id: {id}\r\nWEBHOOK-TIMESTAMP:{at}\r\nwebhook-signature:   {signature}  \r\n",
            "POST /hook?x=1 HTTP/1.1\r\nHost: example.com\r\nwebhook-id: {id}\r\nwebhook-timestamp: {at}\r\n"
            "webhook-signature: {signature}\r\n\r\nwebhook-id: of the body\r\n",
            "* Connected\n> POST / HTTP/1.1\n> Host: example.com\n> Webhook-Id: {id}\n"
            "> Webhook-Timestamp: {at}\n> Webhook-Signature: {signature}\n>\n< HTTP/1.1 200\n"
            "< webhook-id: no\n",
            "* Connected\n< webhook-id: no\n> webhook-id: {id}\n> webhook-timestamp: {at}\n\n\n"
            "> webhook-signature: {signature}",
            "curl -X POST -H 'webhook-id: {id}' --header \"webhook-timestamp: {at}\" \\\n"
            "  -H'webhook-signature: {signature}' https://example.com/",
            '{{"Content-Type": "application/json", "webhook-id": "{id}", "webhook-timestamp": {at},'
            ' "webhook-signature": ["{signature}"], "x": null}}',
            '  "webhook-id": "{id}",\n  "webhook-timestamp": "{at}",\n'
            '  "webhook-signature": "{signature}"\n}}',
            "{{'webhook-id': '{id}',\n 'webhook-timestamp': '{at}',\n"
            " 'webhook-signature': '{signature}',\n}}",
            "{{'Host': 'x, y', 'Webhook-Id': '{id}', 'Webhook-Timestamp': '{at}',"
            " 'Webhook-Signature': '{signature}'}}",
            "HTTP_WEBHOOK_ID={id}\nHTTP_WEBHOOK_TIMESTAMP={at}\nHTTP_WEBHOOK_SIGNATURE={signature}",
            "  [Webhook-Id] => {id}\n  [Webhook-Timestamp] => {at}\n  [Webhook-Signature] => {signature}",
            "webhook-id\t{id}\nwebhook-timestamp\t{at}\nwebhook-signature\t{signature}",
        ],
        ids=[
            *("lines", "request", "curl -v", "curl -v without a line", "curl -H", "json", "lines of json"),
            *("lines of python", "python", "cgi", "php", "table"),
        ],
    )
    def test_takes_headers_in_any_form(self, form: str) -> None:
        headers = form.format(id=ID, at=AT, signature=self.SIGNATURE)

        assert inspected(headers).verdict is Verdict.RIGHT

    def test_passes_over_what_is_no_header(self) -> None:
        assert pasted.read("nothing here\n\0\n: x\n") == {}
        assert pasted.read('{"a" ') == {}

    def test_keeps_a_quotation_mark_that_stands_alone(self) -> None:
        assert pasted.read("a: \"x\nb: '") == {"a": ['"x'], "b": ["'"]}


class TestIdAndTimestamp:
    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_are_missed(self, name: str) -> None:
        lines = headers_of(signature_of()).splitlines()
        inspection = inspected("\n".join(line for line in lines if not line.startswith(name)))

        assert inspection.verdict is Verdict.WRONG
        assert of(inspection, name).says == "It is not among the 2 headers that were pasted."
        assert inspection.expected == ("" if name != "webhook-signature" else signature_of())

    def test_are_missed_where_nothing_is_pasted(self) -> None:
        inspection = inspected("", body=b"", against=None)

        assert (inspection.verdict, inspection.says) == (Verdict.WRONG, "There is no signature to check.")
        assert of(inspection, "webhook-id").says == "Nothing that was pasted looks like a header."

    def test_are_said_to_be_there_several_times(self) -> None:
        inspection = inspected(f"{headers_of(signature_of())}webhook-id: another\n")

        assert of(inspection, "webhook-id").says == "It is there 2 times, with different values."
        assert inspection.says == "The signature fits nothing: see webhook-id."

    def test_may_be_there_twice_with_one_value(self) -> None:
        assert inspected(headers_of(signature_of()) * 2).verdict is Verdict.RIGHT

    def test_say_when_an_id_is_none(self) -> None:
        odd = "an id, with ümlauts"
        inspection = inspected(headers_of(signature_of(message_id=odd), message_id=odd))

        assert wrong_parts(inspection) == ["webhook-id"]
        assert inspection.says == "The signature fits, and yet something is wrong: see webhook-id."

    @pytest.mark.parametrize(
        ("timestamp", "says"),
        [
            (AT - 300, "It is 0:05:00 old, within five minutes."),
            (AT + 300, "It lies 0:05:00 ahead, within five minutes."),
            (AT, "It is 0 s old, within five minutes."),
            (AT - 301, "It is 0:05:01 old; more than five minutes are refused."),
            (AT + 301, "It lies 0:05:01 ahead; more than five minutes are refused."),
            (AT - 93_784, "It is 1 day, 2:03:04 old; more than five minutes are refused."),
            (0, "It is 20527 days, 10:00:00 old; more than five minutes are refused."),
            (AT * 1000, "It is in milliseconds. As such it is 0 s old."),
            ((AT + 7) * 1000, "It is in milliseconds. As such it lies 7 s ahead."),
            (AT * 1_000_000, "It is in microseconds. As such it is 0 s old."),
            (AT * 1_000_000_000, "It is in nanoseconds. As such it is 0 s old."),
            (10**20 - 1, "It lies ages ahead; more than five minutes are refused."),
            ("2026-03-15T10:00:00Z", "It is no whole number: 2026-03-15T10:00:00Z"),
            (f"{AT}.5", f"It is no whole number: {AT}.5"),
            ("-1", "It is no whole number: -1"),
            ("١٢٣", "It is no whole number: ١٢٣"),
            ("9" * 5000, f"It is no whole number: {'9' * 60}"),
        ],
    )
    def test_say_how_a_timestamp_is(self, timestamp: object, says: str) -> None:
        finding = of(inspected(headers_of(signature_of(), timestamp=timestamp)), "webhook-timestamp")

        assert finding.says == says
        assert finding.verdict is (Verdict.RIGHT if "within" in says else Verdict.WRONG)
        assert bool(finding.todo) is (finding.verdict is Verdict.WRONG)

    def test_leave_the_signature_right_when_only_too_old(self) -> None:
        inspection = inspected(headers_of(signature_of(timestamp=AT - 3600), timestamp=AT - 3600))

        assert wrong_parts(inspection) == ["webhook-timestamp"]
        assert (
            inspection.says == "The signature is right, but a receiver refuses the request for its timestamp."
        )


class TestSignatures:
    def test_are_looked_at_each(self) -> None:
        others = signature_of(BODY, signing.new_secret(), SECRET)
        inspection = inspected(headers_of(f"v1a,xyz {others}"))

        assert inspection.verdict is Verdict.RIGHT
        assert of(inspection, "webhook-signature").says == "It holds 3 signatures."
        assert [(each.verdict, each.says) for each in inspection.findings[3:6]] == [
            (Verdict.UNKNOWN, "It is of version v1a, which receivers pass over: v1 is what counts."),
            (Verdict.UNKNOWN, "Another secret made it, as while one is being replaced."),
            (Verdict.RIGHT, "It fits."),
        ]

    @pytest.mark.parametrize("between", ["  ", ", ", "\nwebhook-signature: "])
    def test_are_told_apart_whatever_stands_between(self, between: str) -> None:
        first, second = signature_of(BODY, signing.new_secret(), SECRET).split()

        assert inspected(headers_of(f"{first}{between}{second}")).verdict is Verdict.RIGHT

    def test_are_looked_at_up_to_a_number(self) -> None:
        inspection = inspected(headers_of("v2,a " * 30 + signature_of()))

        assert of(inspection, "webhook-signature").says == (
            "It holds 31 signatures, of which the first 20 are looked at."
        )
        assert inspection.verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        ("rewrite", "says"),
        [
            (lambda right: right.removeprefix("v1,"), "It would fit. It must begin with v1 and a comma."),
            (lambda right: right.replace(",", "="), "It would fit. It must begin with v1 and a comma."),
            (
                lambda right: f"v1,{base64.b64decode(right[3:]).hex()}",
                "It would fit. It is in hexadecimal, and must be in base64.",
            ),
            (
                lambda right: right.rstrip("="),
                "It would fit. It is in another alphabet of base64, or lacks its padding.",
            ),
        ],
    )
    def test_would_fit_in_another_form(self, rewrite: Callable[[str], str], says: str) -> None:
        inspection = inspected(headers_of(rewrite(signature_of())))

        assert of(inspection, "the signature").says == says
        assert inspection.says == "The signature fits, and yet something is wrong: see the signature."

    @pytest.mark.parametrize(
        ("signature", "verdict", "says"),
        [
            ("v1,***", Verdict.UNKNOWN, "It is masked, as logs show it."),
            ("v1,", Verdict.WRONG, "Behind v1 and the comma is no base64."),
            ("v1,ü!", Verdict.WRONG, "Behind v1 and the comma is no base64."),
            ("garbage\0", Verdict.WRONG, "It must begin with v1 and a comma."),
            (
                "v1," + "A" * 12,
                Verdict.WRONG,
                "It stands for 9 bytes instead of 32; something may have cut it.",
            ),
            (
                "v1," + "A" * 43 + "=",
                Verdict.WRONG,
                "It has the right form, and fits nothing that was tried.",
            ),
        ],
    )
    def test_that_say_nothing_are_said_to(self, signature: str, verdict: Verdict, says: str) -> None:
        inspection = inspected(headers_of(signature))

        finding = of(inspection, "the signature")
        assert (finding.verdict, finding.says) == (verdict, says)
        assert inspection.verdict is verdict


def escaped_in_php(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":")).replace("/", "\\/")


class TestBody:
    # What became of the body on its way to the one who pasted it, and how the right one is described.
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda body: body + b"\n", "without the newline at its end"),
            (lambda body: body + b"\r\n", "without the newline at its end"),
            (lambda body: b"\n " + body + b" \t", "without the white space around it"),
            (lambda body: changes.BOM + body, "without the byte order mark before it"),
            (base64.b64encode, "decoded from base64"),
            (base64.encodebytes, "decoded from base64"),
            (
                lambda body: json.dumps(body.decode()).encode(),
                "taken out of the JSON string it is written as",
            ),
            (
                lambda body: body.decode("latin-1").encode(),
                "decoded from UTF-8 once, not twice: each non-ASCII letter has become two",
            ),
            (lambda body: json.dumps(json.loads(body)).encode(), "as JSON written compactly"),
            (lambda body: json.dumps(json.loads(body), indent=4).encode(), "as JSON written compactly"),
            (lambda body: escaped_in_php(body.decode()).encode(), "as JSON written compactly"),
            (
                lambda body: base64.b64encode(json.dumps(json.loads(body)).encode()),
                "decoded from base64, and as JSON written compactly",
            ),
        ],
    )
    def test_was_changed_on_its_way(self, change: Callable[[bytes], bytes], words: str) -> None:
        inspection = inspected(body=change(BODY))

        assert inspection.says == f"The signature is wrong for this body. It fits it {words}."
        assert of(inspection, "the body").says == f"The signature fits it {words}."
        assert of(inspection, "the body").todo.startswith("Take the bytes of the request as they came")
        assert wrong_parts(inspection) == ["the signature", "the body"]

    # What somebody signed instead of the body that is pasted.
    @pytest.mark.parametrize(
        ("signed", "words"),
        [
            (BODY + b"\n", "with a newline at its end"),
            (changes.BOM + BODY, "with a byte order mark before it"),
            (base64.b64encode(BODY), "encoded in base64"),
            (json.dumps(BODY.decode()).encode(), "written as a JSON string"),
            (json.dumps(BODY.decode(), ensure_ascii=False).encode(), "written as a JSON string"),
            (b"", "when it is empty, as where something else has read it before"),
            (json.dumps(VALUE, ensure_ascii=False).encode(), "as JSON written with spaces"),
            (json.dumps(VALUE).encode(), "as JSON written with spaces, with non-ASCII letters escaped"),
            (
                json.dumps(VALUE, indent=2, ensure_ascii=False).encode(),
                "as JSON written indented by 2",
            ),
            (
                json.dumps(VALUE, indent=4, sort_keys=True, ensure_ascii=False).encode(),
                "as JSON written indented by 4, with its keys sorted",
            ),
            (
                escaped_in_php(BODY.decode()).encode(),
                "as JSON written compactly, with slashes and non-ASCII letters escaped",
            ),
        ],
    )
    def test_was_signed_in_another_form(self, signed: bytes, words: str) -> None:
        inspection = inspected(headers_of(signature_of(signed)))

        assert of(inspection, "the body").says == f"The signature fits it {words}."

    @pytest.mark.parametrize(
        ("pasted_body", "signed", "words"),
        [
            (b"a\r\nb", b"a\nb", "with LF at the ends of its lines instead of CRLF"),
            (b"a\nb", b"a\r\nb", "with CRLF at the ends of its lines instead of LF"),
        ],
    )
    def test_has_other_ends_of_lines(self, pasted_body: bytes, signed: bytes, words: str) -> None:
        inspection = inspected(headers_of(signature_of(signed)), body=pasted_body)

        assert of(inspection, "the body").says == f"The signature fits it {words}."

    def test_keeps_its_numbers_as_they_were_written(self) -> None:
        signed = b'{"a":1.10,"b":1e2,"c":12345678901234567890123,"d":-0}'
        spaced = b'{ "a": 1.10, "b": 1e2, "c": 12345678901234567890123, "d": -0 }'

        inspection = inspected(headers_of(signature_of(signed)), body=spaced)

        assert of(inspection, "the body").says == "The signature fits it as JSON written compactly."

    def test_is_another_one(self) -> None:
        inspection = inspected(body=b'{"another":true}')

        assert inspection.says == (
            "The signature is wrong, and nothing that is likely to have happened explains it."
        )
        assert of(inspection, "the body").verdict is Verdict.UNKNOWN
        assert of(inspection, "the body").todo.endswith("Or the secret is another one.")

    @pytest.mark.parametrize(
        "body",
        [
            b"\x00\xff" * 500_000,
            b"[" * 1_000_000,
            b"[" * 400 + b"1," * 200_000 + b"1" + b"]" * 400,
            b"[" * 900 + b"]" * 900,
            b'"' + b"\\" * 100_000,
            b'"\\ud800"',
            b"1" * 1_000_000,
            b"[" + b"[]," * 300_000 + b"[]]",
        ],
        ids=["binary", "brackets", "deep and long", "deep", "backslashes", "surrogate", "digits", "many"],
    )
    def test_may_be_garbage(self, body: bytes) -> None:
        begun = time.monotonic()

        assert inspected(body=body).verdict is Verdict.WRONG
        assert time.monotonic() - begun < 20

    def test_is_tried_in_no_form_that_is_longer_than_what_is_signed(self) -> None:
        body = json.dumps([[]] * 60_000).encode()

        assert all(len(change.body) <= payloads.MAX_BYTES for change in changes.likely(body))

    def test_is_tried_in_each_form_once(self) -> None:
        tried = [change.body for change in changes.likely(BODY)]

        assert len(set(tried)) == len(tried)
        assert BODY not in tried


class TestWayOfSigning:
    @pytest.mark.parametrize(
        ("signed", "way"),
        [
            (f"{AT}.{ID}.".encode() + BODY, "with the timestamp before the id"),
            (f"{AT}.".encode() + BODY, "without the id"),
            (f"{ID}.".encode() + BODY, "without the timestamp"),
            (BODY, "without the id and the timestamp"),
            (f"{ID.upper()}.{AT}.".encode() + BODY, "with the id in capital letters"),
            (f"{ID}.{AT}000.".encode() + BODY, "with the timestamp in milliseconds"),
            (f"{ID}.{str(AT)[:-3]}.".encode() + BODY, "with the timestamp in seconds"),
        ],
    )
    def test_is_another(self, signed: bytes, way: str) -> None:
        digest = signing.digest(signed, signing.key_bytes(SECRET))
        inspection = inspected(headers_of(f"v1,{base64.b64encode(digest).decode()}"))

        assert inspection.says == f"The signature is wrong: it was made {way}."
        assert of(inspection, "the signature").says == f"It was made {way}."
        assert wrong_parts(inspection) == ["the signature"]


# Half of a surrogate pair, which has no form in UTF-8.
HALF = "\ud800"
KEY = SECRET.removeprefix("whsec_")


class TestTypedSecret:
    @pytest.mark.parametrize(
        ("typed", "reading"),
        [
            (f" {SECRET}\n", "without the white space around it"),
            (f'"{SECRET}"', "without the quotation marks around it"),
            (f" '{KEY}' ", "without the quotation marks around it with whsec_ before it, that is as base64"),
            (f"{SECRET[:20]} {SECRET[20:]}", "without the white space in it"),
            (
                SECRET.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D"),
                "with its percent signs decoded",
            ),
            (SECRET.replace("whsec_", "WHSEC_whsec_"), "with one whsec_, in small letters"),
            (f"SECRET={SECRET};", "from whsec_ on as far as base64 goes"),
            (KEY, "with whsec_ before it, that is as base64"),
            (SECRET.rstrip("="), "as base64 of the other alphabet, or with the padding it lacks"),
            (
                SECRET.translate(str.maketrans("+/", "-_")),
                "as base64 of the other alphabet, or with the padding it lacks",
            ),
        ],
    )
    def test_was_pasted_in_another_form(self, typed: str, reading: str) -> None:
        inspection = inspected(against=typed)

        assert of(inspection, "the secret").says == f"It fits when it is read {reading}."
        assert inspection.says == (
            f"The signature is right, and the secret is not: it fits when it is read {reading}."
        )

    @pytest.mark.parametrize(
        ("signed_with", "reading"),
        [
            (SECRET.encode(), "as text, whsec_ included, although it is base64"),
            (KEY.encode(), "as text behind whsec_, although it is base64"),
        ],
    )
    def test_was_signed_with_in_another_form(self, signed_with: bytes, reading: str) -> None:
        digest = signing.digest(f"{ID}.{AT}.".encode() + BODY, signed_with)
        inspection = inspected(headers_of(f"v1,{base64.b64encode(digest).decode()}"))

        assert of(inspection, "the secret").says == f"It fits when it is read {reading}."

    def test_may_be_in_hexadecimal(self) -> None:
        secret = base64.b64decode(KEY).hex()

        assert of(inspected(against=secret), "the secret").says == "It fits when it is read as hexadecimal."

    @pytest.mark.parametrize(
        ("typed", "verdict", "says"),
        [
            (OTHER, Verdict.RIGHT, "It has the right form: whsec_ and 32 bytes in base64."),
            ("whsec_ü", Verdict.WRONG, "Behind whsec_ must be base64, and there is something else."),
            ("whsec_", Verdict.WRONG, "Behind whsec_ must be base64, and there is something else."),
            (
                f" {OTHER}",
                Verdict.WRONG,
                "Something stands around it that does not belong to it.",
            ),
            (
                "A" * 44,
                Verdict.UNKNOWN,
                "It is taken as text, as it does not begin with whsec_; but it looks like base64.",
            ),
            (
                "a password",
                Verdict.RIGHT,
                "It does not begin with whsec_, so the key is its own text, in UTF-8.",
            ),
            ("a" * 5000, Verdict.WRONG, "It is too long to be one."),
            ("", Verdict.UNKNOWN, "There is none to check with."),
        ],
    )
    def test_is_another_one(self, typed: str, verdict: Verdict, says: str) -> None:
        inspection = inspected(against=typed)

        finding = of(inspection, "the secret")
        assert (finding.verdict, finding.says) == (verdict, says)
        assert typed in ("", "whsec_") or typed not in repr(inspection)

    def test_is_needed(self) -> None:
        inspection = inspected(against=None)

        assert (inspection.verdict, inspection.says, inspection.expected) == (
            Verdict.UNKNOWN,
            "Without a secret nobody can say whether the signature is right.",
            "",
        )
        assert of(inspection, "the signature").says == "It has the right form."

    def test_is_kept_by_nothing(self) -> None:
        secret = signing.new_secret()

        inspected(against=secret)

        before = signing._kept_key_bytes.cache_info().misses
        signature_of(BODY, secret)
        assert signing._kept_key_bytes.cache_info().misses == before + 1


@pytest.mark.django_db
class TestSecretsOfAWebhook:
    MINUTE = timedelta(minutes=1)

    @pytest.fixture
    def webhook(self) -> Webhook:
        return builders.a_webhook(secret=SECRET)

    def rotate(self, webhook: Webhook, **overlap: float) -> str:
        rotated = webhooks.rotate_secret(
            webhook, overlap=timedelta(**overlap), by="a test", now=NOW - 30 * self.MINUTE
        )
        webhook.refresh_from_db()
        return rotated.secret

    def test_tell_right_from_wrong(self, webhook: Webhook) -> None:
        right, wrong = inspected(against=webhook), inspected(against=webhook, body=b"{}")

        assert right.verdict is Verdict.RIGHT
        assert of(right, "the secret").says == "The webhook's present secret made the signature."
        assert wrong.verdict is Verdict.WRONG
        assert of(wrong, "the secret").says == "The webhook's secret was tried."

    def test_sign_nothing_for_those_who_ask(self, webhook: Webhook) -> None:
        for body in (BODY, b"{}"):
            inspection = inspected(against=webhook, body=body)

            assert inspection.expected == ""
            assert SECRET not in repr(inspection)
            assert signature_of(body) not in repr(inspection)

    def test_are_those_that_sign_beside_each_other(self, webhook: Webhook) -> None:
        new = self.rotate(webhook, hours=1)

        old_only, both = inspected(against=webhook), headers_of(signature_of(BODY, new, SECRET))

        assert old_only.verdict is Verdict.RIGHT
        assert of(old_only, "the secret").says == (
            "A secret of the webhook's that was replaced and signs until 2026-03-15 10:30:00 UTC made the"
            " signature."
        )
        inspection = inspected(both, against=webhook)
        assert inspection.verdict is Verdict.RIGHT
        assert [each.says for each in inspection.findings[3:5]] == ["It fits."] * 2
        assert of(inspected(against=webhook, body=b"{}"), "the secret").says == (
            "The webhook's 2 secrets were tried."
        )

    def test_may_have_been_over_when_the_request_was_sent(self, webhook: Webhook) -> None:
        self.rotate(webhook, minutes=20)

        inspection = inspected(against=webhook)

        assert wrong_parts(inspection) == ["the secret"]
        assert of(inspection, "the secret").says.endswith(
            "until 2026-03-15 09:50:00 UTC made it; that was over when the request was sent."
        )
        earlier = AT - 15 * 60
        inspection = inspected(
            headers_of(signature_of(timestamp=earlier), timestamp=earlier), against=webhook
        )
        assert wrong_parts(inspection) == ["webhook-timestamp"]

    def test_are_counted_by_the_present_where_the_timestamp_is_no_moment(self, webhook: Webhook) -> None:
        self.rotate(webhook, minutes=20)
        digest = signing.digest(f"{ID}.never.".encode() + BODY, signing.key_bytes(SECRET))
        signature = f"v1,{base64.b64encode(digest).decode()}"

        inspection = inspected(headers_of(signature, timestamp="never"), against=webhook)

        assert wrong_parts(inspection) == ["webhook-timestamp", "the secret"]

    def test_may_be_none(self) -> None:
        inspection = inspected(against=builders.a_webhook())

        assert of(inspection, "the secret").says == "The webhook has none, so its requests are not signed."
        assert inspection.verdict is Verdict.WRONG

    def test_may_be_closed(self, webhook: Webhook, settings: LazySettings) -> None:
        settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
        webhook = Webhook.objects.get(pk=webhook.pk)

        inspection = inspected(against=webhook)

        assert inspection.verdict is Verdict.UNKNOWN
        assert of(inspection, "the secret").says == "None of ENCRYPTION_KEYS opens what the webhook keeps."


class TestGarbage:
    @pytest.mark.parametrize(
        "headers",
        [
            "\0" * 60_000,
            "-H '" * 16_000,
            '-H "\\' * 13_000,
            "\t" * 60_000,
            "webhook-id" + " " * 60_000,
            f"webhook-id: {HALF}\nwebhook-timestamp: {HALF}\nwebhook-signature: v1,{HALF}",
            "{" * 60_000,
            '{"webhook-id": ' + "[" * 50_000,
            "webhook-signature: " + "v1, " * 15_000,
            "webhook-timestamp: 99999999999999999999\nwebhook-id: a\nwebhook-signature: v1,AAAA",
            "<script>alert(1)</script>",
        ],
        ids=range(11),
    )
    def test_is_said_to_be_wrong(self, headers: str) -> None:
        begun = time.monotonic()

        inspection = inspected(headers, against=f"{HALF}\0")

        assert inspection.verdict in (Verdict.WRONG, Verdict.UNKNOWN)
        assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("given", [{"headers": "x" * 65_537}, {"body": b"x" * 1_048_577}])
    def test_is_not_looked_at_where_it_is_too_much(self, given: Mapping[str, object]) -> None:
        inspection = inspected(**given)  # type: ignore[arg-type]

        assert inspection == Inspection(
            verdict=Verdict.UNKNOWN,
            says="That is too much to look at: 64 KiB of headers and 1 MiB of body at most.",
        )


class TestExample:
    def test_is_right(self) -> None:
        example = inspecting.example(changed=False, now=NOW)

        assert inspected(example.headers, example.body.encode(), example.secret).verdict is Verdict.RIGHT

    def test_is_broken_by_a_body_that_was_written_again(self) -> None:
        example = inspecting.example(changed=True, now=NOW)
        inspection = inspected(example.headers, example.body.encode(), example.secret)

        assert wrong_parts(inspection) == ["the signature", "the body"]

    def test_has_a_secret_of_its_own(self) -> None:
        first, second = (inspecting.example(changed=False, now=NOW) for _ in range(2))

        assert first.secret != second.secret
