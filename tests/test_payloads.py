import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import payloads
from deliveries.payloads import InvalidJSON

NO_FLOATS = [
    "3.14159265358979323846",
    "0.1000000000000000055511151231257827",
    "-100000000000000000000000.5",
    "9" * 299 + ".0",
    "1." + "0" * 298 + "1",
    "4.94e-324",
    "1e-400",
    "-1E-99999",
    "1e-" + "9" * 299,
]
ESCAPES = [
    r"\\",
    r"\ud83d",
    r"\uDBFF",
    r"\ude00",
    r"\uDCfF",
    r"\u0000",
    r"\ud7ff",
    r"\n",
    "u0000",
    "ud83d",
    "é",
]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)


def is_half(character: str) -> bool:
    """Tell whether it is half of a surrogate pair."""
    return "\ud800" <= character <= "\udfff"


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
            (b'{"a": -1e400}', "too large"),
            (b'{"a": ' + b"9" * 300 + b".0}", "more than 300 digits"),
            (b'{"a": 1e' + b"9" * 299 + b"}", "too large"),
            (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'The name "c" is given twice'),
            (rb'{"a": "\u0000"}', "NUL"),
            (rb'{"\u0000": 1}', "NUL"),
            (rb'{"a": "\ud800"}', "surrogate"),
            (rb'{"a": ["\udfff"]}', "surrogate"),
            (rb'{"a": "\uD83d\\\uDe00"}', "surrogate"),
            (rb'{"a": "\ude00\ud83d"}', "surrogate"),
            (b'["' + b"]" * 50 + b'"' + b",[" * 40, "deeper than 32"),
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

    @pytest.mark.parametrize("literal", NO_FLOATS)
    def test_keeps_a_number_no_float_keeps_as_it_was_written(self, literal: str) -> None:
        assert payloads.parse(f"[{literal}]".encode()) == [payloads.Number(literal)]

    @pytest.mark.parametrize("raw", [b"-" + b"9" * 300, b"-0." + b"0" * 294 + b"1e-10", b"1." + b"0" * 299])
    def test_counts_nothing_but_digits(self, raw: bytes) -> None:
        assert payloads.parse(raw)

    @pytest.mark.parametrize(
        "literal",
        [b"0.1", b"1e-400", b"0e-" + b"9" * 290, b"1." + b"0" * 299, b"[]", b"{}", rb'["\ud83d\ude00"]'],
    )
    def test_is_quick_also_with_many_values(self, literal: bytes, within: Callable[[float], None]) -> None:
        payloads.parse(b"[" + b",".join([literal] * (payloads.MAX_BYTES // len(literal))) + b"]")

        within(5)

    @given(st.lists(st.sampled_from(ESCAPES)).map("".join))
    def test_finds_what_no_database_takes(self, text: str) -> None:
        """The text is searched for escapes; the value, which is slower to look through, must say the same."""
        raw = f'["{text}"]'
        (value,) = json.loads(raw)
        if not any(character == "\x00" or is_half(character) for character in value):
            assert payloads.parse(raw.encode()) == [value]
        else:
            with pytest.raises(InvalidJSON, match=r"NUL|surrogate"):
                payloads.parse(raw.encode())

    def test_does_not_count_brackets_inside_strings(self) -> None:
        assert payloads.parse(json.dumps(["[" * 100 + '"\\' + "{" * 100]).encode())

    @given(st.lists(st.text('"\\[]{}a'), min_size=1), st.integers(30, 34))
    def test_counts_every_bracket_outside_of_strings(self, texts: list[str], levels: int) -> None:
        raw = ("[" * (levels - 1) + json.dumps(texts) + "]" * (levels - 1)).encode()
        if levels <= payloads.MAX_DEPTH:
            assert payloads.parse(raw)
        else:
            with pytest.raises(InvalidJSON, match="deeper than 32"):
                payloads.parse(raw)

    def test_takes_thirty_two_levels(self) -> None:
        assert payloads.parse(b"[" * 32 + b"]" * 32)

    def test_takes_a_surrogate_pair(self) -> None:
        assert payloads.parse(rb'"\ud83d\ude00"') == "😀"

    @pytest.mark.parametrize("raw", [b'"' + b'\\"' * 130_000, b"\\" * 260_000, b'{"a' * 80_000])
    def test_is_quick_also_with_what_never_ends(self, raw: bytes, within: Callable[[float], None]) -> None:
        with pytest.raises(InvalidJSON):
            payloads.parse(raw)

        within(5)


class TestSerialise:
    def test_writes_the_compact_form(self) -> None:
        assert payloads.serialise({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()

    @pytest.mark.parametrize("literal", NO_FLOATS)
    def test_writes_a_number_as_it_was_written(self, literal: str) -> None:
        body = f'{{"a":[{literal},1.5,"{literal}",{{"b":{literal}}}]}}'.encode()

        assert payloads.serialise(payloads.parse(body)) == body

    @pytest.mark.parametrize(
        "text", ["\x00", '"\x00', "\x00,1", '\x00"'], ids=["alone", "quote before", "more", "quote behind"]
    )
    def test_takes_no_text_for_the_place_of_a_number(self, text: str) -> None:
        for payload in ({"a": payloads.Number("1e-400"), "b": text}, {text: payloads.Number("1e-400")}):
            with pytest.raises(InvalidJSON, match="NUL"):
                payloads.serialise(payload)

    def test_keeps_the_rules_for_a_number_as_it_was_written(self) -> None:
        with pytest.raises(InvalidJSON, match="not valid JSON"):
            payloads.serialise({"a": payloads.Number("1, 2 3")})

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

        with pytest.raises(InvalidJSON, match="Circular reference"):
            payloads.serialise(payload)

    @pytest.mark.parametrize("levels", [33, 10_000])
    def test_refuses_what_is_too_deep(self, levels: int) -> None:
        payload: dict[str, object] = {}
        for _ in range(levels):
            payload = {"a": payload}

        with pytest.raises(InvalidJSON, match="deeper than 32"):
            payloads.serialise(payload)


class TestParsed:
    """Of a payload that came through `parse`, the rules need no second look."""

    @given(OBJECTS)
    def test_is_written_as_any_other(self, payload: dict[str, object]) -> None:
        text = payloads.parse(json.dumps({"payload": payload}).encode(), levels=payloads.MAX_DEPTH + 1)
        assert isinstance(text, dict)

        assert payloads.serialise(payloads.Parsed(text["payload"])) == payloads.serialise(text["payload"])

    @pytest.mark.parametrize("literal", NO_FLOATS)
    def test_keeps_a_number_as_it_was_written(self, literal: str) -> None:
        text = payloads.parse(f'{{"a":{literal}}}'.encode())
        assert isinstance(text, dict)

        assert payloads.serialise(payloads.Parsed(text)) == f'{{"a":{literal}}}'.encode()

    def test_is_still_measured(self) -> None:
        with pytest.raises(InvalidJSON, match="262,144 are allowed"):
            payloads.serialise(payloads.Parsed({"a": "x" * payloads.MAX_BYTES}))


class TestReadBack:
    def test_returns_the_value_with_the_nearest_floats(self) -> None:
        assert payloads.read_back(b'{"a":3.14159265358979323846,"b":1e-400}') == {
            "a": 3.141592653589793,
            "b": 0.0,
        }

    def test_returns_the_text_of_what_breaks_a_rule(self) -> None:
        assert payloads.read_back(b'{"a":NaN\x00') == '{"a":NaN\ufffd'
