"""`python-socketio` against a server with the conformance events.

usage: client.py URL [TRANSPORT...]
Ends with 0 and one line of JSON with what was seen, or with 1 and a traceback.
"""

import json
import queue
import sys

import socketio

TIME_LIMIT_S = 20


def expect(answer, wanted):
    if answer != wanted:
        raise AssertionError(f"{answer!r} instead of {wanted!r}")


def main(url, transports):
    client = socketio.Client(reconnection=False)
    heard = queue.Queue()
    client.on("message-back", lambda *args: heard.put(args))
    client.on("news", lambda data: heard.put(data))
    client.connect(url, transports=transports or None, auth={"some": "thing"}, wait_timeout=TIME_LIMIT_S)
    args = (1, "2 ü 世 🌊", {"three": [True, None]}, bytes([0, 1, 2, 250]))
    client.emit("message", args)
    expect(heard.get(timeout=TIME_LIMIT_S), args)
    for index in range(100):
        client.emit("message", index)
    for index in range(100):
        expect(heard.get(timeout=TIME_LIMIT_S), (index,))
    expect(client.call("message-with-ack", ("a", b"b"), timeout=TIME_LIMIT_S), ("a", b"b"))
    expect(client.call("register", {"userId": "py"}, timeout=TIME_LIMIT_S)["userId"], "py")
    client.call("join", "r", timeout=TIME_LIMIT_S)
    published = client.call("publish", {"room": "r", "event": "news", "data": [1], "echo": True}, timeout=TIME_LIMIT_S)
    expect(published["delivered"], 1)
    expect(heard.get(timeout=TIME_LIMIT_S), [1])
    transport = client.transport()
    client.disconnect()
    print(json.dumps({"transport": transport}))


main(sys.argv[1], sys.argv[2:])
