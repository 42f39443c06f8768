import pytest

from deliveries.transport import chunks


class TestDecoding:
    @pytest.mark.parametrize(
        ("raw", "content"),
        [
            (b"", b""),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n", b"abcde"),
            (b"1 ;a\nx\n0\n\n", b"x"),
            (b"000A\r\n0123456789\r\n", b"0123456789"),
            # As far as it came.
            (b"a", b""),
            (b"a\r\n", b""),
            (b"a\r\nonly", b"only"),
            (b"1\r\na", b"a"),
            (b"1\r\na\r", b"a"),
            (b"1\r\na\r\n2", b"a"),
        ],
    )
    def test_returns_the_content(self, raw: bytes, content: bytes) -> None:
        assert chunks.decode(raw, keep=100) == content

    @pytest.mark.parametrize(
        "raw", [b"what?\r\n\r\n", b"\r\n", b"-1\r\na\r\n", b"1\r\nabc\r\n", b"1\r\na\r\nx"]
    )
    def test_refuses_what_is_no_chunk(self, raw: bytes) -> None:
        with pytest.raises(ValueError, match="chunk"):
            chunks.decode(raw, keep=100)

    @pytest.mark.parametrize(
        "raw", [b"5\r\nabcde\r\n", b"2\r\nab\r\n9\r\ncdefghijk\r\n", b"ffffffffffffffff\r\nabcd"]
    )
    def test_keeps_no_more_than_it_may(self, raw: bytes) -> None:
        assert chunks.decode(raw, keep=3) == b"abc"
