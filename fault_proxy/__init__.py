"""What stands between a gateway and what it depends on when that is to fail: a TCP proxy with a switch.

`python -m fault_proxy --to 127.0.0.1:5432 --port 0 --control-port 0` runs it; README.md says how it behaves. An app of
its own: it imports nothing of the suite that uses it.

    __main__.py     options, the sockets, the server process
    control.py      HTTP requests in, JSON out: the switch and the counts
    fault.py        faults as values, checked
    forwarder.py    who connects, the fault in force, the counts
    connection.py   one connection: bytes from either end to the other
"""
