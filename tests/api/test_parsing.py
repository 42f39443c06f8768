from io import BytesIO
from uuid import UUID

import pytest
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
