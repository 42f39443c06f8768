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
