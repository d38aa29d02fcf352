"""How is the sink started, and how does it end?

    python -m log_sink --port 8091 --make-certificate .

Comes in: the command line. Goes out: one line on standard output once connections are accepted, then a sink until
SIGTERM or Ctrl-C. Exit code 4 when it can't start.
"""

import argparse
import asyncio
import errno
import gc
import signal
import ssl
import sys
from pathlib import Path
from typing import Final, NoReturn

import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from log_sink.app import DEFAULT_MAX_BODY_BYTES, Records, Sink
from log_sink.certificates import AUTHORITY_FILE, CERTIFICATE_FILE, HOSTS, made_for
from log_sink.control import Control
from log_sink.counts import DEFAULT_IDS_AT_MOST, MAX_IDS_AT_MOST
from log_sink.ports import DataPorts, Port, served_by

EXIT_BAD_INPUT: Final = 4
EXIT_INTERRUPTED: Final = 130
_HELP: Final = "`python -m log_sink --help` shows the options."
_MIB: Final = 1024 * 1024


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(f"{message}. {_HELP}")


def main(arguments: list[str] | None = None) -> int:
    """Run the sink until a signal ends it.

    Returns:
        The exit code: 0 after SIGTERM, 130 after Ctrl-C, 4 for wrong options, an address that can't be had, or a
        certificate that can't be used.
    """
    options = _parser().parse_args(arguments)
    hosts = tuple(options.tls_host or HOSTS)
    tls = _tls(options, hosts)
    ports = {
        name: _port(options.host, getattr(options, name)) for name in ("port", "http_port", "https_port", "proxy_port")
    }
    try:
        uvloop.run(_serve(options, hosts, tls, ports))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


async def _serve(
    options: argparse.Namespace, hosts: tuple[str, ...], tls: ssl.SSLContext, ports: dict[str, Port]
) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, is_over.set)
    sink = Sink(options.ids_at_most)
    data_ports = DataPorts(
        sink,
        Records(sink, options.max_body_mib * _MIB),
        http=ports["http_port"],
        https=ports["https_port"],
        proxy=ports["proxy_port"],
        hosts=hosts,
        tls=tls,
    )
    config, state = served_by(Control(sink, data_ports, options.announce_token)), ServerState()
    try:
        await loop.create_server(lambda: HttpToolsProtocol(config, state, {}), sock=ports["port"].listening())
        await data_ports.open()
    except OSError as error:  # somebody listens there since we took the number
        _refuse(f"cannot listen on {options.host}: {error.strerror}. Start it again.")
    # What exists now lives as long as the process. Full collections need not look through it.
    gc.freeze()
    shown = f"[{options.host}]" if ":" in options.host else options.host
    where = [
        f"control http://{shown}:{ports['port'].number}",
        *(f"{name} {n}" for name, n in data_ports.numbers.items()),
    ]
    print(f"log_sink listening: {', '.join(where)}", flush=True)
    try:
        await is_over.wait()
    finally:
        await data_ports.close()


def _parser() -> _Parser:
    parser = _Parser(prog="python -m log_sink", description="A sink for a gateway's logs that counts every record.")
    parser.add_argument("--port", type=_port_number, required=True, help="of control; 0 takes a free one")
    for name, what in (("http", "plain HTTP"), ("https", "TLS"), ("proxy", "the CONNECT proxy that leads to TLS")):
        text = f"for {what} (default: a free one, which GET /ports names)"
        parser.add_argument(f"--{name}-port", type=_port_number, default=0, help=text)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    certificate = parser.add_mutually_exclusive_group(required=True)
    certificate.add_argument(
        "--make-certificate",
        type=Path,
        metavar="FOLDER",
        help=f"make a throw-away authority, and write its certificate ({AUTHORITY_FILE}) and the sink's own with its "
        f"key ({CERTIFICATE_FILE}) there; needs the package trustme",
    )
    certificate.add_argument("--certificate", type=Path, metavar="FILE", help="the sink's key and certificate, PEM")
    parser.add_argument(
        "--tls-host",
        action="append",
        metavar="HOST",
        help=f"that the certificate is made for, and that the proxy leads to the sink; again for more "
        f"(default: {', '.join(HOSTS)})",
    )
    parser.add_argument(
        "--ids-at-most",
        type=_number(1, MAX_IDS_AT_MOST),
        default=DEFAULT_IDS_AT_MOST,
        help="different ids kept of each format (default: %(default)s)",
    )
    parser.add_argument(
        "--max-body-mib",
        type=_number(1, 4096),
        default=DEFAULT_MAX_BODY_BYTES // _MIB,
        help="larger bodies are answered with 413 (default: %(default)s)",
    )
    parser.add_argument("--announce-token", help="shown by /health, to recognise this very process")
    return parser


class _number:  # noqa: N801 (argparse shows no name of it)
    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self._low <= int(text[:20]) <= self._high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self._low} to {self._high}")
        return int(text)


_port_number: Final = _number(0, 65_535)


def _tls(options: argparse.Namespace, hosts: tuple[str, ...]) -> ssl.SSLContext:
    """The server's side of TLS; its certificate is read from a file in any case."""
    path: Path = options.certificate or options.make_certificate / CERTIFICATE_FILE
    try:
        if options.make_certificate is not None:
            certificates = made_for(hosts)
            (options.make_certificate / AUTHORITY_FILE).write_text(certificates.authority_pem)
            path.touch(mode=0o600)
            path.write_text(certificates.key_and_certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    except ImportError:
        _refuse(
            "--make-certificate needs the package trustme, which is not installed: install it, or give --certificate."
        )
    except ValueError as error:
        _refuse(f"--tls-host {' '.join(hosts)}: no certificate can be made for these: {error}.")
    except ssl.SSLError as error:
        _refuse(f"{path} does not hold a key and a certificate for it in PEM ({error.reason or error}).")
    except OSError as error:
        _refuse(f"{error.filename or path}: {error.strerror}. Name a folder or file that exists and that you may use.")
    return context


def _port(host: str, number: int) -> Port:
    try:
        return Port(host, number)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        if error.errno == errno.EADDRINUSE:
            todo = (
                f"Stop what listens there (`ss -ltnp 'sport = :{number}'` names it), or choose another port; "
                "0 takes a free one."
            )
        else:
            todo = "Give --host an address of this machine, and ports that you may use."
        _refuse(f"cannot listen on {host} port {number}: {reason}. {todo}")


def _refuse(message: str) -> NoReturn:
    print(f"log_sink: {message}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    sys.exit(main())
