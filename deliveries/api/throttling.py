"""How much a key may ask for: one limit for each kind of request, counted after key and scope are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, cast

import limits
from django.conf import settings
from limits import RateLimitItem
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from deliveries import counting
from deliveries.models import ApiKey, Scope

if TYPE_CHECKING:
    from rest_framework.views import APIView


class Group(StrEnum):
    """The requests that share a limit. Each request belongs to one."""

    READ = "read"
    PUBLISH = "publish"
    MANAGE = "manage"
    TEST = "test"


# Section "Test" of the logs API's contract.
_TESTS = limits.parse("10/minute")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a key stands with the limit of a group."""

    group: Group
    limit: RateLimitItem
    count: counting.Count


class Limited(Protocol):
    """A view that knows which limit a request counts against."""

    standing: Standing | None

    def limit_group(self) -> Group:
        """Return the group of the request."""


class KeyThrottle(BaseThrottle):
    """Counts a request and refuses it where it is one too many. The view then knows where the key stands."""

    _wait: int | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Tell whether the request may go on. Asked again about the same one, it is not counted again."""
        limited = cast(Limited, view)
        if limited.standing is None:
            limited.standing = _take(cast(ApiKey, request.auth), limited.limit_group())
        if limited.standing is None:
            return True
        self._wait = limited.standing.count.wait
        return limited.standing.count.allowed

    def wait(self) -> float | None:
        """Return after how many seconds a request will be allowed again."""
        return self._wait


def group_of(scope: Scope | None) -> Group:
    """Return the group of the requests that need a scope; where none is needed, an error is read."""
    if scope is Scope.EVENTS_PUBLISH:
        return Group.PUBLISH
    return Group.READ if scope is None or scope.endswith(".read") else Group.MANAGE


def headers(standing: Standing) -> Mapping[str, str]:
    """Return the headers that tell where a key stands."""
    return {
        "X-RateLimit-Limit": str(standing.limit.amount),
        "X-RateLimit-Remaining": str(standing.count.remaining),
    }


def structured_headers(standing: Standing) -> Mapping[str, str]:
    """Return the same by draft-ietf-httpapi-ratelimit-headers; `t` says when there will be more than `r`."""
    limit, count = standing.limit, standing.count
    return {
        "RateLimit-Policy": f'"{standing.group}";q={limit.amount};w={limit.get_expiry()}',
        "RateLimit": f'"{standing.group}";r={count.remaining};t={count.wait}',
    }


def overview(key: ApiKey) -> dict[str, dict[str, int]]:
    """Return where a key stands with every limit there is, by group. Nothing is counted."""
    return {
        str(group): {
            "limit": limit.amount,
            "window_seconds": limit.get_expiry(),
            "remaining": _counter().look(limit, _who(key, group)).remaining,
        }
        for group in Group
        if (limit := _limit(group))
    }


def _take(key: ApiKey, group: Group) -> Standing | None:
    limit = _limit(group)
    if limit is None:
        return None
    return Standing(group=group, limit=limit, count=_counter().take(limit, _who(key, group)))


def _limit(group: Group) -> RateLimitItem | None:
    """Return the limit of a group, or None where there is none."""
    return {
        Group.READ: settings.WEBHOOKS_LIMIT_READ,
        Group.PUBLISH: settings.WEBHOOKS_LIMIT_PUBLISH,
        Group.MANAGE: settings.WEBHOOKS_LIMIT_MANAGE,
        Group.TEST: _TESTS,
    }[group]


def _who(key: ApiKey, group: Group) -> str:
    """Return whose requests are counted together: a key's, and where the contract says so an account's."""
    return f"{group}:{key.account_id if group is Group.TEST else key.pk}"


def _counter() -> counting.Counter:
    return counting.counter(settings.REDIS_URL)
