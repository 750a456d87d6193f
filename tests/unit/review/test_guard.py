"""Who may ask: other pages in the same browser, and names that are not the desk's, are refused."""

import pytest
from aiohttp.test_utils import make_mocked_request

from review.web.guard import SECURITY_HEADERS, refusal

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORM = "application/x-www-form-urlencoded"
JSON = {"Host": "localhost:6066", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost:6066"}, None),
        ("GET", "/", {"Host": "[::1]:6066"}, None),
        ("GET", "/", {"Host": "LOCALHOST"}, None),
        ("GET", "/", {"Host": "rebound.example:6066"}, 421),
        ("GET", "/readyz", {"Host": "10.0.0.7:6066"}, 421),
        ("POST", "/api/v1/cases/x/decision", JSON, None),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Origin": "http://localhost:6066"}, None),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Origin": "http://localhost:8000"}, 403),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Origin": "null"}, 403),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Sec-Fetch-Site": "same-origin"}, None),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/api/v1/cases/x/decision", JSON | {"Content-Type": "text/plain"}, 415),
        ("POST", "/case/x/claim", JSON | {"Content-Type": f"{FORM}; charset=UTF-8"}, None),
        ("POST", "/case/x/claim", JSON | {"Content-Type": f"{FORM}; charset=klingon"}, 415),
        ("POST", "/api/v1/cases/x/decision", {"Host": "localhost"}, 415),
    ],
)
def test_other_pages_in_the_browser_are_kept_out(
    method: str, path: str, headers: dict[str, str], status: int | None
) -> None:
    response = refusal(make_mocked_request(method, path, headers=headers), LOOPBACK)
    assert (response.status if response else None) == status


def test_nothing_inline_and_nothing_from_elsewhere_is_allowed() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
