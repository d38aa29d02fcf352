"""Where exactly does a URL point: scheme, host, port and path, checked.

Comes in: the URL a user wrote. Goes out: an `Endpoint`, or a ValueError that says what is wrong with the text.
Opens no connection.
"""

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a URL that an HTTP/1.1 client needs.

    Args:
        scheme: `http` or `https`.
        host: name or address, an IPv6 address without its brackets.
        port: TCP port.
        path: path and query, as in the request line.

    >>> Endpoint.of_url("http://localhost:4000/v1/models?a=b")
    Endpoint(scheme='http', host='localhost', port=4000, path='/v1/models?a=b')
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Take a URL apart.

        Args:
            url: http or https, without user, password or characters that need escaping.

        Raises:
            ValueError: the text is not such a URL; names the URL and the rule.
        """
        if not all("!" <= character <= "~" for character in url):
            raise ValueError(f"url={url!r} must hold printable ASCII without spaces: percent-encode everything else")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"url={url!r} is not a URL: {error}") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError(f"url={url!r} must begin with http:// or https://")
        if "@" in parts.netloc:
            # The text is not repeated: what stands before the @ is a secret.
            raise ValueError("the URL must not hold a user or password: they would not be sent")
        if not parts.hostname:
            raise ValueError(f"url={url!r} names no host")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port, path)

    @property
    def host_header(self) -> str:
        """Value of the Host header: the port stands in it unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
