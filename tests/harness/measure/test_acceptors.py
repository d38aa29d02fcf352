"""Is the process found that accepted a connection, and none for one that nobody has?"""

import os
import socket
from collections.abc import Iterator

import pytest

from perfgate.measure.acceptors import acceptors


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_an_accepted_connection_belongs_to_who_accepted_it(listener: socket.socket) -> None:
    server_port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", server_port)) as client:
        client_port = client.getsockname()[1]
        assert acceptors(server_port, {client_port}) == {}
        accepted, _ = listener.accept()
        with accepted:
            assert acceptors(server_port, {client_port}) == {client_port: os.getpid()}
            assert acceptors(server_port, {client_port + 1}) == {}
            assert acceptors(server_port + 1, {client_port}) == {}
