import json
from collections.abc import Callable

import pytest

from deliveries import payloads
from deliveries.payloads import InvalidJSON


class TestParse:
    def test_returns_the_value(self) -> None:
        assert payloads.parse('{"a": [1, 2.5, "é", null, true]}'.encode()) == {"a": [1, 2.5, "é", None, True]}

    @pytest.mark.parametrize(
        ("raw", "says"),
        [
            (b"", "not valid JSON"),
            (b'{"a": 1', "not valid JSON"),
            (b'{"a": 1} x', "not valid JSON"),
            (b"[1, 2", "not valid JSON"),
            (b"{'a': 1}", "not valid JSON"),
            (b'{"a": "\xff"}', "not valid UTF-8"),
            (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
            (b'{"a": NaN}', "NaN is not a JSON number"),
            (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
            (b'{"a": 1e400}', "too large"),
            (b'{"a": ' + b"9" * 301 + b"}", "more than 300 digits"),
            (b'{"a": 0.' + b"9" * 300 + b"}", "more than 300 digits"),
            (b'{"a": 0.1234567890123456789012}', "more digits than a double keeps"),
            (b'{"a": 12345678901234567890.5}', "more digits than a double keeps"),
            (b'{"a": -1.00000000000000000001}', "more digits than a double keeps"),
            (b'{"a": 4.94e-324}', "more digits than a double keeps"),
            (b'{"a": 1e-99999}', "too small"),
            (b'{"a": 1e-' + b"9" * 299 + b"}", "too small"),
            (b'{"a": 1e' + b"9" * 299 + b"}", "too large"),
            (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'The name "c" is given twice'),
            (rb'{"a": "\u0000"}', "NUL"),
            (rb'{"\u0000": 1}', "NUL"),
            (rb'{"a": "\ud800"}', "surrogate"),
            (rb'{"a": ["\udfff"]}', "surrogate"),
            (b"[" * 33 + b"]" * 33, "deeper than 32"),
            (b"[" * 100_000, "deeper than 32"),
            (b'{"a":' * 100_000, "deeper than 32"),
        ],
    )
    def test_refuses(self, raw: bytes, says: str) -> None:
        with pytest.raises(InvalidJSON, match=says):
            payloads.parse(raw)

    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            (b"19.90", 19.9),
            (b"0.1", 0.1),
            (b"-0.0", 0.0),
            (b"-0", 0),
            (b"0e99999", 0.0),
            (b"0.000e-99999", 0.0),
            (b"1e23", 1e23),
            (b"5e-324", 5e-324),
            (b"1.7976931348623157e308", 1.7976931348623157e308),
            (b"1.5" + b"0" * 298, 1.5),
            (b"1e" + b"0" * 298 + b"1", 10.0),
            (b"0." + b"0" * 290 + b"1E+291", 1.0),
        ],
    )
    def test_takes_a_number_a_double_keeps(self, raw: bytes, value: object) -> None:
        assert payloads.parse(raw) == value

    @pytest.mark.parametrize("raw", [b"-" + b"9" * 300, b"-0." + b"0" * 294 + b"1e-10", b"1." + b"0" * 299])
    def test_counts_nothing_but_digits(self, raw: bytes) -> None:
        assert payloads.parse(raw)

    @pytest.mark.parametrize("literal", [b"0.1", b"0e-" + b"9" * 290, b"1." + b"0" * 299])
    def test_is_quick_also_with_many_numbers(self, literal: bytes, within: Callable[[float], None]) -> None:
        payloads.parse(b"[" + b",".join([literal] * (payloads.MAX_BYTES // len(literal))) + b"]")

        within(0.5)

    def test_does_not_count_brackets_inside_strings(self) -> None:
        assert payloads.parse(json.dumps(["[" * 100 + '"\\' + "{" * 100]).encode())

    def test_takes_thirty_two_levels(self) -> None:
        assert payloads.parse(b"[" * 32 + b"]" * 32)

    def test_takes_a_surrogate_pair(self) -> None:
        assert payloads.parse(rb'"\ud83d\ude00"') == "😀"

    @pytest.mark.parametrize("raw", [b'"' + b'\\"' * 130_000, b"\\" * 260_000, b'{"a' * 80_000])
    def test_is_quick_also_with_what_never_ends(self, raw: bytes, within: Callable[[float], None]) -> None:
        with pytest.raises(InvalidJSON):
            payloads.parse(raw)

        within(0.5)


class TestSerialise:
    def test_writes_the_compact_form(self) -> None:
        assert payloads.serialise({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()

    @pytest.mark.parametrize("payload", [[], "text", 1, None])
    def test_takes_objects_only(self, payload: object) -> None:
        with pytest.raises(InvalidJSON, match="must be a JSON object"):
            payloads.serialise(payload)

    @pytest.mark.parametrize(
        ("payload", "says"),
        [
            ({"a": float("nan")}, "no JSON form"),
            ({"a": object()}, "not JSON serializable"),
            ({"a": "\x00"}, "NUL"),
            ({"a": "\ud800"}, "surrogate"),
            ({"a": 10**301}, "more than 300 digits"),
            ({1: "a", "1": "b"}, "given twice"),
            ({"a": "x" * payloads.MAX_BYTES}, "262,144 are allowed"),
        ],
    )
    def test_refuses(self, payload: dict[object, object], says: str) -> None:
        with pytest.raises(InvalidJSON, match=says):
            payloads.serialise(payload)

    def test_refuses_what_contains_itself(self) -> None:
        payload: dict[str, object] = {}
        payload["self"] = payload

        with pytest.raises(InvalidJSON, match="deeper than 32"):
            payloads.serialise(payload)
