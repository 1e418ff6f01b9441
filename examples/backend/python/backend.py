#!/usr/bin/env python3
"""A small back end behind Tidegate: it says who may connect, answers orders, and hears who has gone.

usage: BACKEND_SECRET=whsec_... python3 backend.py [PORT]
The secret is the one that Tidegate has; docs/backend.md tells of every field.
"""

import json
import os
import sys
import threading
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 2 << 20
KNOWN_MAX = 10_000

webhook = Webhook(os.environ["BACKEND_SECRET"])
lock = threading.Lock()
# What was answered to which webhook-id: an event that comes again is answered the same, and not done twice.
known = OrderedDict()
orders = 0


def connect(data):
    # Who asks is whoever says so here. A real one looks at a cookie (data["headers"]) or a token (data["claims"]).
    name = parse_qs(data["query"] or "").get("name")
    if not name:
        return 403, "Say who you are: connect to /?name=YOU."
    return 200, {"userId": name[0], "rooms": ["harbour"], "metadata": {"from": data["address"]}}


def message(data):
    global orders
    asked = data["message"]
    # A client of Socket.IO says it in the first argument of its event.
    said = next(iter(asked["args"]), None) if "namespace" in data else asked
    if asked["type"] != "order" or not isinstance(said, dict) or not isinstance(said.get("item"), str):
        return 400, "Only an order with an item is understood here."
    orders += 1
    order = {"number": orders, "item": said["item"]}
    return 200, {
        "send": [{"type": "ordered", **order}],
        "publish": [{"room": "harbour", "event": "order", "data": {"by": data["userId"], **order}}],
    }


def disconnect(data):
    print(data["userId"] or data["connectionId"], "has gone", flush=True)
    return 204, None


DOES = {"connect": connect, "message": message, "disconnect": disconnect}


def answer(headers, body):
    """The status and what is said, a sentence or an object."""
    try:
        event = webhook.verify(body, dict(headers))
    except (WebhookVerificationError, ValueError):
        return 401, "The signature is not good."
    # With BACKEND_FORMAT=structured the data is a part of it. Header fields are not signed: what it is stands in the data, too.
    data = event["data"] if "specversion" in event else event
    with lock:
        delivery = headers["webhook-id"]
        if delivery not in known:
            known[delivery] = DOES[data["event"]](data)
            if len(known) > KNOWN_MAX:
                known.popitem(last=False)
        return known[delivery]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # so that connections are kept
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return self.say(413, "That is no event.")
        self.say(*answer(self.headers, self.rfile.read(int(length))))

    def say(self, status, said):
        body = b"" if said is None else (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        if said is not None:
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 4000), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
