"""What stands in for the services that a gateway logs to: a sink of known behaviour that counts every record.

`python -m log_sink --port 8091 --make-certificate .` runs it; README.md says how it behaves. An app of its own: it
imports nothing of the suite that uses it.

    __main__.py       options, sockets, start and end
    ports.py          the three ports that records come in by: plain HTTP, TLS, and a proxy that leads to TLS
    app.py            what is sent to the sink: which request gets which answer
    control.py        what whoever measures asks of it: mode, counts, ids
    formats.py        which records a request brings, and which request of the gateway caused each
    modes.py          how the sink may be told to behave, as values
    counts.py         what was received, and what became of it
    asgi.py           the body of a request, the bytes of an answer, and whether the client is still there
    certificates.py   a throw-away authority, and the certificate of the hosts that the sink stands in for
"""
