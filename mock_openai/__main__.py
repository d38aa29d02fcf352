"""How is the mock started, and how does it end?

    python -m mock_openai --port 8090

Comes in: the command line. Goes out: one line on standard output once connections are accepted, then an endpoint until
SIGTERM or Ctrl-C. Exit code 4 when it can't start.
"""

import argparse
import errno
import gc
import logging
import socket
import sys
from typing import Final, NoReturn

import uvicorn
from pydantic import ValidationError

from mock_openai.app import MockOpenAI
from mock_openai.behaviour import Behaviour, broken_rules

EXIT_BAD_INPUT: Final = 4
EXIT_INTERRUPTED: Final = 130
#: As many connections as a burst of a load generator opens at once; the kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4096
#: Longer than any run. The mock never closes an idle connection first: a request that crosses such a close on the wire
#: is an error that the gateway under test has no part in.
KEEP_ALIVE_S: Final = 86_400


class _CutsAreNoFaults(logging.Filter):
    """uvicorn complains of a reply that was not completed: of a stream that is cut, as it was told to."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.getMessage() != "ASGI callable returned without completing response."


class _Server(uvicorn.Server):
    """uvicorn, announcing itself when it accepts and ending at once."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What exists now lives as long as the process. Full collections need not look through it in mid-load.
        gc.freeze()
        print(self._announcement, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests that hang or wait end as if their clients had left; uvicorn alone would wait for them.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(f"{message}. `python -m mock_openai --help` shows the options.")


def main(arguments: list[str] | None = None) -> int:
    """Run the mock until a signal ends it.

    Returns:
        The exit code: 4 for wrong options or an address that can't be had, 130 after Ctrl-C. SIGTERM ends the process.
    """
    options = _parser().parse_args(arguments)
    try:
        default = Behaviour(delay_ms=options.delay_ms, reply_bytes=options.reply_bytes)
    except ValidationError as error:
        _refuse(f"{'; '.join(broken_rules(error))}. `python -m mock_openai --help` shows the options.")
    listener = _listening(options.host, options.port)
    logging.getLogger("uvicorn.error").addFilter(_CutsAreNoFaults())
    config = uvicorn.Config(
        MockOpenAI(default, options.announce_token),
        loop="uvloop",
        http="httptools",
        ws="wsproto",
        # Sessions that a gateway lets wait are not ended by us, and nothing is compressed.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    try:
        _Server(config, f"mock_openai listening on {_url(listener)}").run(sockets=[listener])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _parser() -> _Parser:
    parser = _Parser(prog="python -m mock_openai", description="A mock OpenAI endpoint of known behaviour.")
    parser.add_argument("--port", type=_port, required=True, help="0 takes a free one, which the first line names")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--delay-ms", type=int, default=0, help="delay of models without a behaviour of their own (default: 0)"
    )
    parser.add_argument(
        "--reply-bytes",
        type=int,
        default=Behaviour().reply_bytes,
        help="length of their message content (default: %(default)s)",
    )
    parser.add_argument("--announce-token", help="shown by /health, to recognise this very process")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 65535")
    return int(text)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; bound and listening in one go, so that of two processes only one gets the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        if error.errno == errno.EADDRINUSE:
            todo = (
                f"Stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another --port; "
                "--port 0 takes a free one."
            )
        else:
            todo = "Give --host an address of this machine, and --port a number that you may use."
        _refuse(f"cannot listen on {host} port {port}: {reason}. {todo}")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refuse(message: str) -> NoReturn:
    print(f"mock_openai: {message}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    sys.exit(main())
