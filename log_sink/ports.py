"""By which ports do records come in, and how are they closed and opened again?

Comes in: an ASGI app, port numbers, a TLS context. Goes out: three ports that lead to that app:

    http    plain HTTP
    https   HTTP within TLS
    proxy   CONNECT to one of the sink's hosts leads to TLS, whatever the port that was asked for; every other host is
            refused with 403, so that nothing of a client that uses this proxy leaves the machine
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from log_sink.app import CUT, Records, Sink

#: As many connections as a gateway opens at once; the kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4096
#: Longer than any run. The sink never closes an idle connection first: a request that crosses such a close on the wire
#: is an error that nobody asked for.
KEEP_ALIVE_S: Final = 86_400
#: More than a CONNECT takes.
MAX_HEAD_BYTES: Final = 65_536
#: Before connections are accepted again, when the process has no file to spare for one.
ACCEPT_AGAIN_S: Final = 0.05
NO_HOST: Final = "(no host)"


def served_by(app: Any) -> uvicorn.Config:
    """How uvicorn's HTTP protocol serves an app here."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    return config


class _Cuttable(HttpToolsProtocol):
    """uvicorn's protocol, whose connection an app can cut."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[CUT] = self.transport.abort


class Port:
    """A port that stays ours whether or not anybody listens on it.

    Args:
        host: address of this machine.
        number: 0 for a free one.

    Attributes:
        number: of it.

    Raises:
        OSError: it cannot be had.
    """

    def __init__(self, host: str, number: int) -> None:
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Bound and never listening: connections are refused, but the system gives the number to nobody else, whereas
        # with SO_REUSEADDR a second socket of ours may listen on it.
        self._holder = socket.socket(self._family)
        try:
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._holder.bind((host, number))
        except OSError:
            self._holder.close()
            raise
        self.number: int = self._holder.getsockname()[1]

    def listening(self) -> socket.socket:
        """A socket that accepts its connections.

        Raises:
            OSError: it cannot be had.
        """
        listener = socket.create_server((self._host, self.number), family=self._family, backlog=BACKLOG)
        listener.setblocking(False)
        return listener


class DataPorts:
    """The three ports of the module; closed at first.

    Args:
        sink: which counts what the ports themselves see.
        app: that they lead to.
        http, https, proxy: the ports.
        hosts: whom the proxy leads to the sink.
        tls: with the sink's certificate.
    """

    def __init__(
        self,
        sink: Sink,
        app: Records,
        *,
        http: Port,
        https: Port,
        proxy: Port,
        hosts: tuple[str, ...],
        tls: ssl.SSLContext,
    ) -> None:
        self._sink = sink
        self._config = served_by(app)
        self._state = ServerState()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._tls = tls
        self._welcomes = ((http, self._plain), (https, self._within_tls), (proxy, self._proxied))
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: set[asyncio.Task[None]] = set()

    @property
    def numbers(self) -> dict[str, int]:
        """Of the ports, by name."""
        return {name: port.number for name, (port, _) in zip(("http", "https", "proxy"), self._welcomes, strict=True)}

    async def open(self) -> None:
        """Accept connections; does nothing when that is so.

        Raises:
            OSError: one of the ports cannot be had.
        """
        if self._accepting:
            return
        self._listeners = [port.listening() for port, _ in self._welcomes]
        for listener, (_, welcome) in zip(self._listeners, self._welcomes, strict=True):
            self._accepting.append(asyncio.create_task(self._accept(listener, welcome)))

    async def close(self) -> None:
        """Refuse new connections, and cut those that are open; does nothing when that is so."""
        tasks = [*self._accepting, *self._arriving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._accepting.clear()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._state.connections):
            connection.transport.abort()
        # Each learns that its client is gone, and is counted.
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    async def _accept(
        self, listener: socket.socket, welcome: Callable[[socket.socket], Coroutine[Any, Any, None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:  # its client has left already, or the process has too many files open
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            arriving = asyncio.create_task(welcome(client))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)

    def _protocol(self) -> _Cuttable:
        return _Cuttable(self._config, self._state, {})

    async def _plain(self, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client)

    async def _within_tls(self, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client, ssl=self._tls)
        except OSError:  # what ssl raises is one too
            self._sink.counts.handshake_failed()

    async def _proxied(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        is_led = False
        try:
            head = await _head(client)
            method, _, rest = head.partition(" ")
            host = _host_of(method, rest.partition(" ")[0])
            if method == "CONNECT" and host in self._hosts:
                self._sink.counts.proxied(host)
                await loop.sock_sendall(client, b"HTTP/1.1 200 Connection established\r\n\r\n")
                is_led = True
            elif head:
                self._sink.counts.refused_host(host)
                await loop.sock_sendall(client, _refusal(method, host, self._hosts))
        except OSError:  # it has left
            return
        finally:
            if not is_led:
                client.close()
        if is_led:
            await self._within_tls(client)


async def _head(client: socket.socket) -> str:
    """What a client of the proxy asks for, to the first empty line; nothing when it leaves before, or does not end."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        part = await loop.sock_recv(client, MAX_HEAD_BYTES)
        head += part
        if not part or len(head) > MAX_HEAD_BYTES:
            return ""
    return head.decode("latin-1")


def _host_of(method: str, target: str) -> str:
    try:
        return urlsplit(f"//{target}" if method == "CONNECT" else target).hostname or NO_HOST
    except ValueError:  # no address
        return NO_HOST


def _refusal(method: str, host: str, hosts: frozenset[str]) -> bytes:
    body = (
        f"{method} {host}: this proxy takes CONNECT alone, and leads {', '.join(sorted(hosts))} to the log sink. "
        "Every other host is refused: nothing leaves this machine.\n"
    ).encode("latin-1")
    return (
        b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )
