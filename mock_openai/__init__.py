"""What answers in place of OpenAI when a gateway is measured: a mock endpoint of known behaviour.

`python -m mock_openai --port 8090` runs it; README.md says how it behaves. An app of its own: it imports nothing of
the suite that uses it.

    __main__.py    options, the socket, the server process
    app.py         requests in, replies out: routing
    realtime.py    a WebSocket's session, from its handshake to its end
    client.py      who waits for a reply, as long as it is there
    instants.py    waits of many requests, each to an instant of its own
    alarm.py       one wait, to a fraction of a millisecond
    admin.py       the JSON of admin calls, checked
    in_force.py    which behaviour applies to a model now, and what it says about one request
    behaviour.py   behaviours as values, and the grammar of model names
    counts.py      what was received and how it ended
    reply.py       the bytes of replies and errors in OpenAI's format
    api_replies.py the same of embeddings, responses and messages
    realtime_events.py the events of sessions, in two editions
    ids.py         names that nothing else has
"""
