from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.test import RequestFactory
from rest_framework.exceptions import ParseError

from deliveries.api import parsing

ID = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"


class TestWholeNumber:
    @pytest.mark.parametrize(("text", "number"), [("0", 0), ("25", 25), ("007", 7), ("0" * 5000 + "1", 1)])
    def test_reads_digits(self, text: str, number: int) -> None:
        assert parsing.whole_number(text, least=0) == number

    @pytest.mark.parametrize("digits", [31, 101, 5000])
    def test_reads_a_number_of_any_length(self, digits: int) -> None:
        assert parsing.whole_number("9" * digits, least=0) >= 10**30

    @pytest.mark.parametrize(
        "text", ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "1_000", "٣", "²", "1\n"]
    )
    def test_refuses_what_is_not_ascii_digits(self, text: str) -> None:
        with pytest.raises(ValueError, match="whole number"):
            parsing.whole_number(text, least=0)

    @pytest.mark.parametrize("text", ["0", "101", "9" * 5000])
    def test_refuses_what_is_out_of_range(self, text: str) -> None:
        with pytest.raises(ValueError, match="range"):
            parsing.whole_number(text, least=1, most=100)


class TestUuid:
    @pytest.mark.parametrize("text", [ID, ID.upper()])
    def test_reads_the_canonical_form(self, text: str) -> None:
        assert parsing.uuid(text) == UUID(ID)

    @pytest.mark.parametrize(
        "text", ["", "1", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", ID + "\n", ID[:-1] + "\x00"]
    )
    def test_reads_no_other_form(self, text: str) -> None:
        assert parsing.uuid(text) is None


class TestUnknownNames:
    def test_are_those_that_are_not_known(self) -> None:
        assert parsing.unknown_names({"a": 1, "b": 2}, ["a", "c"]) == (["b"], 0)

    def test_are_told_up_to_ten_and_then_counted(self) -> None:
        names = [f"n{number}" for number in range(13)]

        assert parsing.unknown_names(dict.fromkeys(["a", *names, "b"]), ["a", "b"]) == (names[:10], 3)

    def test_are_cut_short(self) -> None:
        assert parsing.unknown_names({"x" * 60: 1}, []) == (["x" * 50], 0)


class TestStrictJSONParser:
    def test_reads_json(self) -> None:
        assert parsing.StrictJSONParser().parse(BytesIO(b'{"a": [1]}')) == {"a": [1]}

    def test_leaves_a_payload_its_32_levels(self) -> None:
        payload = b'{"a":' * 32 + b"1" + b"}" * 32

        assert parsing.StrictJSONParser().parse(BytesIO(b'{"payload":' + payload + b"}"))

    @pytest.mark.parametrize(
        "body", [b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'"\\u0000"', b'"\\ud800"', b"\xff", b"[" * 100]
    )
    def test_refuses_what_breaks_a_rule(self, body: bytes) -> None:
        with pytest.raises(ParseError):
            parsing.StrictJSONParser().parse(BytesIO(body))

    def test_refuses_a_body_that_is_too_large_before_parsing_it(self) -> None:
        stream = BytesIO(b"{" * 10_000_000)

        with pytest.raises(parsing.BodyTooLarge):
            parsing.StrictJSONParser().parse(stream)

        assert stream.tell() == parsing.MAX_BODY_BYTES + 1


class Unreadable(BytesIO):
    """The input of a server that cannot make sense of the chunks it gets."""

    def read(self, size: int | None = -1) -> bytes:
        raise RuntimeError("no chunk")


class TestBodyRequest:
    def request(self, rf: RequestFactory, body: bytes = b"", **environ: Any) -> parsing.BodyRequest:
        """Return a request with this body, whose environment the server has set like this."""
        made = rf.generic("POST", "/", body, content_type="application/json", **environ)
        return parsing.BodyRequest(made, parsers=[parsing.StrictJSONParser()])

    def chunked(self, rf: RequestFactory, body: Any, **environ: Any) -> parsing.BodyRequest:
        """Return a request whose body came in chunks, which the server has put together."""
        sent = {"CONTENT_TYPE": "application/json", "HTTP_TRANSFER_ENCODING": "chunked"}
        return self.request(rf, **{"wsgi.input": body, "wsgi.input_terminated": True, **sent, **environ})

    def test_reads_a_body(self, rf: RequestFactory) -> None:
        assert self.request(rf, b'{"a": 1}').data == {"a": 1}

    def test_reads_chunks(self, rf: RequestFactory) -> None:
        assert self.chunked(rf, BytesIO(b'{"a": 1}')).data == {"a": 1}

    def test_takes_no_chunks_for_no_body(self, rf: RequestFactory) -> None:
        assert self.chunked(rf, BytesIO()).data == self.request(rf).data == {}

    def test_reads_no_more_chunks_than_it_may(self, rf: RequestFactory) -> None:
        stream = BytesIO(b"{" * 10_000_000)

        with pytest.raises(parsing.BodyTooLarge):
            _ = self.chunked(rf, stream).data

        assert stream.tell() == parsing.MAX_BODY_BYTES + 1

    def test_wants_a_length_where_the_server_reads_no_chunks(self, rf: RequestFactory) -> None:
        request = self.chunked(rf, BytesIO(b'{"a": 1}'), **{"wsgi.input_terminated": False})

        with pytest.raises(parsing.LengthRequired):
            _ = request.data

    def test_refuses_chunks_that_cannot_be_read(self, rf: RequestFactory) -> None:
        with pytest.raises(ParseError):
            _ = self.chunked(rf, Unreadable()).data

    @pytest.mark.parametrize(
        ("body", "length"),
        [
            (b'{"a": 1}', 9),
            (b'{"a": 1}', 10_000_000),
            (b"{}".ljust(parsing.MAX_BODY_BYTES), parsing.MAX_BODY_BYTES + 1),
        ],
    )
    def test_refuses_a_body_that_is_cut_short(self, rf: RequestFactory, body: bytes, length: int) -> None:
        cut_short = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(length)}

        with pytest.raises(ParseError, match="Content-Length"):
            _ = self.request(rf, b"{}", **cut_short).data
