import pytest

from deliveries import headers


class TestProblems:
    def test_finds_none_in_ordinary_headers(self) -> None:
        assert headers.problems({"X-Token": "abc 123", "Authorization": "Bearer x", "X-Empty": ""}) == []

    @pytest.mark.parametrize(
        "name",
        [
            "Host", "content-length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer",
            "Upgrade",
            "Expect", "Proxy-Authorization", "Accept-Encoding", "Cookie", "Content-Encoding", "Content-Type",
            "webhook-id", "Webhook-Signature", "X-Webhook-Event", "User-Agent", "Metadata-Flavor",
            "X-aws-ec2-metadata-token",
        ],
    )  # fmt: skip
    def test_keeps_ours(self, name: str) -> None:
        assert headers.problems({name: "x"}) == [f"The header {name} cannot be set."]

    @pytest.mark.parametrize("name", ["", "X Y", "X:Y", "X\r\nY", "X\x00", "É", "x" * 65])
    def test_refuses_a_name_that_is_no_token(self, name: str) -> None:
        assert headers.problems({name: "x"}) == ["A header name is 1 to 64 letters, digits and hyphens."]

    @pytest.mark.parametrize("value", ["a\r\nb", "a\x00", "é", "x" * 1025, " x", "x ", "\t"])
    def test_refuses_a_value_that_is_not_plain(self, value: str) -> None:
        assert headers.problems({"X-Token": value}) == [
            "The value of X-Token must be at most 1024 visible ASCII characters."
        ]

    def test_refuses_one_name_in_two_spellings(self) -> None:
        assert headers.problems({"X-Token": "a", "x-token": "b"}) == ["A header is given twice."]

    def test_refuses_too_many(self) -> None:
        assert headers.problems({f"X-{number}": "x" for number in range(21)}) == [
            "At most 20 headers are allowed."
        ]


class TestMasked:
    @pytest.mark.parametrize(
        "name",
        [
            "Authorization", "X-AUTH-USER", "X-Api-Key", "apikey", "X-Access-Token", "Cookie2",
            "X-Session-Id", "X-Secret", "X-Password", "X-Passwd", "X-Pwd", "X-Signature",
            "X-Credential", "X-JWT",
        ],
    )  # fmt: skip
    def test_hides_what_looks_like_a_credential(self, name: str) -> None:
        assert headers.masked({name: "tell-nobody"}) == {name: "***"}

    @pytest.mark.parametrize("name", ["X-Custom-Header", "X-Team", "X-Request-Id", "Accept-Language"])
    def test_shows_the_others(self, name: str) -> None:
        assert headers.masked({name: "value"}) == {name: "value"}
