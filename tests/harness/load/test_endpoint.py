"""Is a URL taken apart as an HTTP client needs it, and refused with a reason otherwise?"""

import pytest

from perfgate.load.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "expected", "host_header"),
    [
        ("http://localhost:4000/v1/x", Endpoint("http", "localhost", 4000, "/v1/x"), "localhost:4000"),
        ("https://gate.example/v1?a=b#c", Endpoint("https", "gate.example", 443, "/v1?a=b"), "gate.example"),
        ("http://10.0.0.7", Endpoint("http", "10.0.0.7", 80, "/"), "10.0.0.7"),
        ("http://[::1]:81/x", Endpoint("http", "::1", 81, "/x"), "[::1]:81"),
        ("https://a:80/", Endpoint("https", "a", 80, "/"), "a:80"),
    ],
)
def test_a_url_becomes_its_parts(url: str, expected: Endpoint, host_header: str) -> None:
    endpoint = Endpoint.of_url(url)
    assert endpoint == expected
    assert endpoint.host_header == host_header


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:4000", "url='localhost:4000' must begin with http:// or https://"),
        ("ftp://h/x", "url='ftp://h/x' must begin with http:// or https://"),
        ("http:///x", "url='http:///x' names no host"),
        ("http://h:99999/", "url='http://h:99999/' is not a URL: Port out of range 0-65535"),
        ("http://[::1/x", "url='http://[::1/x' is not a URL: Invalid IPv6 URL"),
        ("http://h/a b", "url='http://h/a b' must hold printable ASCII without spaces: percent-encode everything else"),
        ("http://h/\r\nx: y", r"url='http://h/\r\nx: y' must hold printable ASCII without spaces: "),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match="url=") as refused:
        Endpoint.of_url(url)
    assert str(refused.value).startswith(reason)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="must not hold a user or password") as refused:
        Endpoint.of_url("http://me:secret@h/")
    assert "secret" not in str(refused.value)
