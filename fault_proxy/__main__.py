"""How is the proxy started, and how does it end?

    python -m fault_proxy --to 127.0.0.1:5432 --port 0 --control-port 0

Comes in: the command line. Goes out: one line on standard output once connections are accepted, then a proxy until
SIGTERM or Ctrl-C, which reset its connections. Exit code 4 when it can't start.
"""

import argparse
import errno
import resource
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import uvicorn

from fault_proxy.control import Control
from fault_proxy.fault import Fault
from fault_proxy.forwarder import Forwarder

EXIT_BAD_INPUT: Final = 4
EXIT_INTERRUPTED: Final = 130

T = TypeVar("T")


class _Server(uvicorn.Server):
    """uvicorn for the control calls, with the proxy beside it in the same event loop."""

    def __init__(self, config: uvicorn.Config, forwarder: Forwarder, announcement: str) -> None:
        super().__init__(config)
        self._forwarder = forwarder
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._forwarder.start()
        print(self._announcement, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._forwarder.switch(Fault("cut"))
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(f"{message}. `python -m fault_proxy --help` shows the options.")


def main(arguments: list[str] | None = None) -> int:
    """Run the proxy until a signal ends it.

    Returns:
        The exit code: 4 for wrong options or an address that can't be had, 130 after Ctrl-C. SIGTERM ends the process.
    """
    options = _parser().parse_args(arguments)
    # A connection takes two file descriptors, and what a shell allows by default are 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    forwarder = _had(lambda port: Forwarder(options.host, port, options.to, most), options.host, options.port, "--port")
    control = _had(
        lambda port: socket.create_server((options.host, port)), options.host, options.control_port, "--control-port"
    )
    (host, port), (control_host, control_port) = forwarder.address, control.getsockname()
    config = uvicorn.Config(
        Control(forwarder, options.announce_token),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    announcement = (
        f"fault_proxy forwards {host}:{port} to {options.to[0]}:{options.to[1]}, "
        f"switched at http://{control_host}:{control_port}"
    )
    try:
        _Server(config, forwarder, announcement).run(sockets=[control])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _parser() -> _Parser:
    parser = _Parser(prog="python -m fault_proxy", description="A TCP proxy that delays, cuts and hangs when told to.")
    parser.add_argument("--to", type=_target, required=True, metavar="HOST:PORT", help="where connections lead to")
    parser.add_argument(
        "--port",
        type=_port,
        required=True,
        help="where clients connect; 0 takes a free one, which the first line names",
    )
    parser.add_argument("--control-port", type=_port, required=True, help="of the HTTP switch; 0 likewise")
    parser.add_argument("--host", default="127.0.0.1", help="address that both listen on (default: %(default)s)")
    parser.add_argument("--announce-token", help="shown by /health, to recognise this very process")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 65535")
    return int(text)


def _target(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or _port(port) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, _port(port)


def _had(listen: Callable[[int], T], host: str, port: int, option: str) -> T:
    """What listens on a port; a refusal says what to do."""
    try:
        return listen(port)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        if error.errno == errno.EADDRINUSE:
            todo = (
                f"Stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another {option}; "
                f"{option} 0 takes a free one."
            )
        else:
            todo = f"Give --host an IPv4 address of this machine, and {option} a number that you may use."
        _refuse(f"cannot listen on {host} port {port}: {reason}. {todo}")


def _refuse(message: str) -> NoReturn:
    print(f"fault_proxy: {message}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    sys.exit(main())
