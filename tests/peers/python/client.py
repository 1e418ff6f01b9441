"""Python `websockets` as a client of an echo endpoint.

usage: client.py SCENARIO URL [OPTIONS as JSON: {"compress", "windowBits", "ca", "code", "reason", "bytes"}]
Ends with 0 and one line of JSON with what was seen, or with 1 and a traceback.
"""

import json
import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

MEGABYTE = 1 << 20
TIME_LIMIT_S = 20


def open_connection(url, options):
    context = None
    if "ca" in options:
        context = ssl.create_default_context(cafile=options["ca"])
    bits = options.get("windowBits")
    return connect(
        url,
        compression="deflate" if options.get("compress") and not bits else None,
        extensions=[ClientPerMessageDeflateFactory(server_max_window_bits=bits)] if bits else None,
        max_size=64 * MEGABYTE,
        open_timeout=TIME_LIMIT_S,
        close_timeout=TIME_LIMIT_S,
        ping_interval=None,
        proxy=None,
        ssl=context,
    )


def expect(answer, message):
    if answer != message:
        raise AssertionError(f"an echo of {len(answer)} differs from {len(message)} sent")


def echo(connection, message):
    connection.send(message)
    expect(connection.recv(timeout=TIME_LIMIT_S), message)


def close_facts(connection):
    received = connection.protocol.close_rcvd
    return {
        "code": received.code if received else None,
        "reason": received.reason if received else None,
        "serverFirst": connection.protocol.close_rcvd_then_sent,
    }


def scenario_echo(connection, options):
    del options
    noise = bytes((index * index >> 3) & 255 for index in range(MEGABYTE))
    echo(connection, "")
    echo(connection, "grüße, 世界 🌊")
    echo(connection, b"")
    echo(connection, noise[:70_000])
    echo(connection, noise)
    connection.send(["one ", "", "two ", "three"])
    expect(connection.recv(timeout=TIME_LIMIT_S), "one two three")
    connection.send([noise[:1], noise[1:100_000], noise[100_000:300_000]])
    expect(connection.recv(timeout=TIME_LIMIT_S), noise[:300_000])
    for index in range(200):
        echo(connection, f"message {index} of one context")
    names = [extension.name for extension in connection.protocol.extensions]
    connection.close(1000)
    return {"extensions": names, "close": close_facts(connection)}


def document_of(length):
    items = [
        {"id": f"{index * 2654435761 % 2**32:x}", "naïve": index % 7 == 0, "level": index * 37 % 1000, "世": "🌊"}
        for index in range(length // 60 + 1)
    ]
    return json.dumps(items, ensure_ascii=False)


def scenario_documents(connection, options):
    del options
    for length in [*range(0, 3000, 60), 4_000, 16_000, 40_000, 70_000, 300_000]:
        echo(connection, document_of(length))
    extension = connection.protocol.extensions[0]
    bits = extension.remote_max_window_bits
    connection.close(1000)
    return {"windowBits": bits, "close": close_facts(connection)}


def scenario_ping(connection, options):
    del options
    answered = connection.ping("are you there?").wait(TIME_LIMIT_S)
    return {"pong": answered}


def scenario_close(connection, options):
    connection.close(options["code"], options.get("reason", ""))
    return {"close": close_facts(connection)}


def until_closed(connection):
    try:
        while True:
            connection.recv(timeout=TIME_LIMIT_S)
    except ConnectionClosed:
        return {"close": close_facts(connection)}


def scenario_oversize(connection, options):
    try:
        connection.send(bytes(options["bytes"]))
    except ConnectionClosed:
        pass
    return until_closed(connection)


def scenario_wait(connection, options):
    del options
    echo(connection, "ready")
    print("READY", flush=True)
    return until_closed(connection)


def main():
    name, url = sys.argv[1:3]
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    with open_connection(url, options) as connection:
        facts = globals()[f"scenario_{name}"](connection, options)
    print(json.dumps(facts), flush=True)


main()
