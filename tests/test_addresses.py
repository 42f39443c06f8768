"""The grammar of a webhook's URL and the table of addresses, row by row and just beside each row."""

import random
import re
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import pytest
import requests
from urllib3.util import parse_url

from deliveries.addresses import (
    AddressBlocked,
    AddressPolicy,
    Origin,
    UrlBlocked,
    UrlRefused,
    check_address,
    normalise_url,
)
from tests.forbidden import DENIED_RANGES, LOCAL_NAMES, NOTORIOUS, UNCLEAR

POLICY = AddressPolicy(require_https=False)
PRIVATE = AddressPolicy(require_https=False, allowed_networks=(ip_network("10.0.0.0/8"),))


def passes(address: str, policy: AddressPolicy = POLICY) -> bool:
    try:
        check_address(address, policy)
    except AddressBlocked:
        return False
    return True


class TestTheTable:
    @pytest.mark.parametrize("denied", DENIED_RANGES)
    def test_denies_a_range_from_its_first_address_to_its_last(self, denied: str) -> None:
        network = ip_network(denied)

        assert not passes(str(network[0]))
        assert not passes(str(network[-1]))

    @pytest.mark.parametrize("denied", DENIED_RANGES)
    def test_ends_where_the_range_ends(self, denied: str) -> None:
        network = ip_network(denied)
        ranges = [ip_network(text) for text in DENIED_RANGES]
        space = 2**network.max_prefixlen
        beside = [
            type(network[0])(number)
            for number in (int(network[0]) - 1, int(network[-1]) + 1)
            if 0 <= number < space
        ]

        for neighbour in beside:
            assert passes(str(neighbour)) == (not any(neighbour in other for other in ranges))

    @pytest.mark.parametrize("address", NOTORIOUS)
    def test_denies_what_others_let_pass(self, address: str) -> None:
        assert not passes(address)

    @pytest.mark.parametrize(
        "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.255", "2606:4700::1111", "2a00::1"]
    )
    def test_lets_public_addresses_pass(self, address: str) -> None:
        assert passes(address)

    @pytest.mark.parametrize(
        "text",
        ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.1.1.1%eth0", "2a00::1%eth0", "fe80::1%1"],
    )
    def test_denies_what_is_no_plain_address(self, text: str) -> None:
        assert not passes(text)

    def test_is_widened_by_networks_and_by_no_more(self) -> None:
        assert passes("10.1.2.3", PRIVATE)
        assert not passes("192.168.0.1", PRIVATE)
        assert not passes("::ffff:10.1.2.3", PRIVATE)
        assert not passes("10.1.2.3%eth0", PRIVATE)

    def test_knows_what_was_opened_expressly(self) -> None:
        assert PRIVATE.allows_expressly(ip_address("10.1.2.3"))
        assert not PRIVATE.allows_expressly(ip_address("1.1.1.1"))
        assert not PRIVATE.allows_expressly(ip_address("2a00::1"))


class TestAUrl:
    @pytest.mark.parametrize(
        ("raw", "normalised"),
        [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/", "https://example.com/"),
            ("http://example.com:80/", "http://example.com/"),
            ("http://example.com:443/", "http://example.com:443/"),
            ("https://example.com.:8443/a", "https://example.com:8443/a"),
            ("https://example.com?", "https://example.com/"),
            ("https://example.com?a=1", "https://example.com/?a=1"),
            ("https://example.com/a?b=c?d&e[]=/:@", "https://example.com/a?b=c?d&e%5B%5D=/:@"),
            ('https://example.com/{a}|"<b>^`', "https://example.com/%7Ba%7D%7C%22%3Cb%3E%5E%60"),
            ("https://example.com/%e2%82%ac%41?%c3%a9", "https://example.com/%E2%82%AC%41?%C3%A9"),
            ("https://example.com/100%/%zz?50%", "https://example.com/100%25/%25zz?50%25"),
            ("https://example.com//a//", "https://example.com//a//"),
            ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
            ("https://B\u00dcCHER.example/", "https://xn--bcher-kva.example/"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
            ("https://my_hook.example.com/", "https://my_hook.example.com/"),
            ("https://r3---sn-abc.example.com/", "https://r3---sn-abc.example.com/"),
            ("https://1.1.1.1/", "https://1.1.1.1/"),
            ("https://1.1.1.1./", "https://1.1.1.1/"),
            ("https://1and1.example.com/", "https://1and1.example.com/"),
            ("https://[2A00:0:0::0001]:8443/", "https://[2a00::1]:8443/"),
            ("https://example.com:65535/", "https://example.com:65535/"),
        ],
    )
    def test_is_written_in_one_way(self, raw: str, normalised: str) -> None:
        assert normalise_url(raw, POLICY) == normalised
        assert normalise_url(normalised, POLICY) == normalised

    @pytest.mark.parametrize(
        "raw",
        UNCLEAR,
    )
    def test_is_refused_when_anything_about_it_is_unclear(self, raw: str) -> None:
        with pytest.raises(UrlRefused) as refused:
            normalise_url(raw, PRIVATE)

        assert not isinstance(refused.value, UrlBlocked)

    def test_may_be_so_long_and_no_longer(self) -> None:
        start = "https://example.com/"

        assert len(normalise_url(start.ljust(2048, "a"), POLICY)) == 2048
        with pytest.raises(UrlRefused, match="longer than 2048 characters"):
            normalise_url(start.ljust(2049, "a"), POLICY)
        with pytest.raises(UrlRefused, match="once its characters are escaped"):
            normalise_url(start.ljust(2048, "|"), POLICY)
        with pytest.raises(UrlRefused, match="longer than 30 characters"):
            normalise_url(start.ljust(31, "a"), POLICY, max_length=30)

    def test_may_have_to_be_https(self) -> None:
        assert normalise_url("https://example.com/", AddressPolicy()) == "https://example.com/"
        with pytest.raises(UrlRefused, match="start with https"):
            normalise_url("http://example.com/", AddressPolicy())

    def test_is_not_repeated_in_the_message(self) -> None:
        with pytest.raises(UrlRefused, match="a user name or a password") as refused:
            normalise_url("https://name:hunter2@example.com/", POLICY)

        assert re.fullmatch(r"The URL [^.]+\.", str(refused.value))
        assert "hunter2" not in str(refused.value)


class TestAHost:
    @pytest.mark.parametrize(
        "address", [*NOTORIOUS, *(str(ip_network(text)[0]) for text in DENIED_RANGES), "10.0.0.1"]
    )
    def test_that_is_an_address_must_pass_the_table(self, address: str) -> None:
        literal = f"[{address}]" if ":" in address else address

        with pytest.raises(UrlBlocked):
            normalise_url(f"https://{literal}/", POLICY)

    @pytest.mark.parametrize(
        "name",
        LOCAL_NAMES,
    )
    def test_that_only_a_private_network_knows_needs_one(self, name: str) -> None:
        with pytest.raises(UrlBlocked):
            normalise_url(f"https://{name}/", POLICY)
        assert normalise_url(f"https://{name}/", PRIVATE) == f"https://{name.lower().rstrip('.')}/"

    @pytest.mark.parametrize(
        "name", ["local.example.com", "localhost.example.com", "internal.io", "a.mylocal"]
    )
    def test_is_local_by_its_end_only(self, name: str) -> None:
        assert normalise_url(f"https://{name}/", POLICY)


class TestAPort:
    @pytest.mark.parametrize(
        "port", [1, 22, 25, 110, 1023, 2375, 3306, 5432, 6379, 6667, 9200, 10250, 11211, 27017]
    )
    @pytest.mark.parametrize("policy", [POLICY, PRIVATE])
    def test_of_a_well_known_service_is_closed_whatever_networks_are_open(
        self, port: int, policy: AddressPolicy
    ) -> None:
        with pytest.raises(UrlRefused, match=f"Port {port} is not open"):
            normalise_url(f"https://example.com:{port}/", policy)

    @pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8000, 8080, 8443, 9000, 32768, 65535])
    def test_of_web_servers_is_open(self, port: int) -> None:
        assert normalise_url(f"https://example.com:{port}/a", POLICY)


class TestTheOwnReceiver:
    POLICY = AddressPolicy(own_receiver=Origin(host="127.0.0.1", port=81, path_prefix="/demo/"))

    @pytest.mark.parametrize("path", ["/demo/", "/demo/a", "/demo/a/b?c=d"])
    def test_is_reached_at_its_own_port_over_plain_http(self, path: str) -> None:
        url = f"http://127.0.0.1:81{path}"

        assert normalise_url(url, self.POLICY) == url
        assert passes("127.0.0.1", self.POLICY.for_url(url))
        assert passes("::1", self.POLICY.for_url(url))
        assert not passes("10.0.0.1", self.POLICY.for_url(url))

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:81/",
            "http://127.0.0.1:81/demo",
            "http://127.0.0.1:81/demonstration/",
            "http://127.0.0.1:81/Demo/",
            "http://127.0.0.1:81/demo/../admin/",
            "http://127.0.0.1:81/demo/%2e%2e/admin/",
            "http://127.0.0.1:81/demo/%2e%2e%2fadmin/",
            "http://127.0.0.1:81/demo/a.b",
            "http://127.0.0.1:82/demo/",
            "http://127.0.0.1/demo/",
            "http://127.0.0.2:81/demo/",
            "http://localhost:81/demo/",
            "http://[::1]:81/demo/",
            "https://127.0.0.1:81/demo/",
        ],
    )
    def test_is_no_wider_than_itself(self, url: str) -> None:
        with pytest.raises(UrlRefused):
            normalise_url(url, self.POLICY)

    def test_changes_nothing_for_other_urls(self) -> None:
        assert self.POLICY.for_url("https://example.com/demo/") is self.POLICY

    @pytest.mark.parametrize("prefix", ["", "/demo", "/demo/../", "demo", "/%64emo/"])
    def test_needs_a_plain_prefix(self, prefix: str) -> None:
        with pytest.raises(ValueError, match="path_prefix"):
            Origin(host="127.0.0.1", port=81, path_prefix=prefix)


class TestParsers:
    """Nothing we accept may be read differently by anything between us and the socket."""

    PIECES = (
        *(
            "http://",
            "https://",
            "HTTP://",
            "//",
            "/",
            "\\",
            "?",
            "#",
            "@",
            ":",
            ".",
            "..",
            "%",
            "%2e",
            "%00",
        ),
        *(
            "example.com",
            "127.0.0.1",
            "[::1]",
            "[2a00::1]",
            "1.1.1.1",
            "8",
            "0x7f",
            "xn--bcher-kva",
            "b\u00fc",
        ),
        *("a", "-", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", ";", "=", "[", "]", "{", "|", '"'),
        *(
            ":80",
            ":443",
            ":8443",
            ":0",
            " ",
            "\t",
            "\x00",
            "\u3002",
            "\uff0e",
            "\uff0f",
            "\u2100",
            "%zz",
            "\xad",
        ),
    )

    def test_agree_on_everything_we_accept(self) -> None:
        chance = random.Random(20)
        policy = AddressPolicy(
            require_https=False, allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0"))
        )
        accepted = 0

        for _ in range(40_000):
            start = chance.choice(("http://", "https://", "http://example.com", "https://a.b:8443/"))
            raw = start + "".join(chance.choices(self.PIECES, k=chance.randrange(7)))
            try:
                url = normalise_url(raw, policy)
            except UrlRefused:
                continue
            accepted += 1
            self.assert_all_agree(url)
            assert normalise_url(url, policy) == url

        assert accepted > 2_000

    @staticmethod
    def assert_all_agree(url: str) -> None:
        ours = urlsplit(url)
        theirs = parse_url(url)
        prepared = requests.PreparedRequest()
        prepared.url = url

        assert ours.hostname
        assert re.fullmatch(r"[a-z0-9._:-]+", ours.hostname)
        host = theirs.host.strip("[]") if theirs.host else None
        assert (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, host, theirs.port)
        assert (ours.username, ours.password, ours.fragment, theirs.auth) == (None, None, "", None)
        target = ours.path + (f"?{ours.query}" if ours.query else "")
        assert target == theirs.request_uri == prepared.path_url
        assert url.endswith(target)
