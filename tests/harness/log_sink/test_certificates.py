"""Does the throw-away authority vouch for the hosts that it was asked for, and for no other?"""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from log_sink.certificates import HOSTS, Certificates, made_for


def shakes_hands(certificates: Certificates, authority_pem: str, host: str, folder: Path) -> None:
    """A TLS handshake over a pair of sockets, from the client's side."""
    (folder / "sink.pem").write_text(certificates.key_and_certificate_pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "sink.pem")
    trusting = ssl.create_default_context(cadata=authority_pem)
    ours, its = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(its, server_side=True).close()
        except OSError:
            its.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours, trusting.wrap_socket(ours, server_hostname=host) as connection:
            connection.recv(1)
    finally:
        thread.join()


@pytest.mark.parametrize("host", HOSTS)
def test_whoever_trusts_the_authority_takes_the_sink_for_each_host(host: str, tmp_path: Path) -> None:
    certificates = made_for()
    shakes_hands(certificates, certificates.authority_pem, host, tmp_path)


def test_hosts_can_be_chosen_and_no_other_is_vouched_for(tmp_path: Path) -> None:
    certificates = made_for(("a.example",))
    shakes_hands(certificates, certificates.authority_pem, "a.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shakes_hands(certificates, certificates.authority_pem, "b.example", tmp_path)


def test_every_authority_is_another(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(made_for(), made_for().authority_pem, "localhost", tmp_path)


def test_its_key_is_not_shown_and_the_authority_s_is_nowhere() -> None:
    certificates = made_for()
    assert "PRIVATE" not in repr(certificates) + certificates.authority_pem
    assert certificates.key_and_certificate_pem.count("BEGIN EC PRIVATE KEY") == 1
