"""Conversations with an echo server by PyPI's wsproto, each with its own offer of compression.

Reads from standard input, as JSON:

    {"offers": [{"url": "ws://...", "header": "permessage-deflate; ..."}, ...],
     "steps": [{"name": "...", "messages": [{"binary": false, "parts": ["base64", ...]}, ...]}]}

The messages of a step are sent at once, each part in a frame of its own; all are awaited then.
Prints for each offer what was answered, the steps whose messages came back different, the bytes
that each step took on the wire, both ways, and how the connection ended.
"""

import base64
import json
import signal
import socket
import ssl
import sys
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection, BytesMessage, CloseConnection, Message, Request, TextMessage,
)
from wsproto.extensions import PerMessageDeflate

# Whatever happens, the process ends by itself.
signal.alarm(18)


class Deflate(PerMessageDeflate):
    """Leaves the offer to somebody else; wsproto's own always names both windows, and once."""

    answer = None

    def offer(self):
        return False

    def finalize(self, offer):
        self.answer = offer
        super().finalize(offer)


class Client:
    def __init__(self, offer):
        parts = urlsplit(offer["url"])
        address = (parts.hostname, parts.port)
        self.socket = socket.create_connection(address, timeout=8)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname = False
            trusting.verify_mode = ssl.CERT_NONE
            self.socket = trusting.wrap_socket(self.socket)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.extension = Deflate()
        self.sent = self.received = 0
        self.incoming = self.events()
        self.write(self.protocol.send(Request(
            host="%s:%d" % address, target="/", extensions=[self.extension],
            extra_headers=[(b"Sec-WebSocket-Extensions", offer["header"].encode())],
        )))
        opened = next(self.incoming)
        if not isinstance(opened, AcceptConnection):
            raise RuntimeError(f"not accepted: {opened}")

    def write(self, data):
        self.sent += len(data)
        self.socket.sendall(data)

    def events(self):
        while True:
            yield from self.protocol.events()
            data = self.socket.recv(262144)
            self.received += len(data)
            self.protocol.receive_data(data or None)

    def send(self, message):
        parts = [base64.b64decode(part) for part in message["parts"]]
        for index, part in enumerate(parts):
            part = part if message["binary"] else part.decode()
            finished = index == len(parts) - 1
            self.write(self.protocol.send(Message(data=part, message_finished=finished)))

    def came_back(self, message):
        kind, nothing = (BytesMessage, b"") if message["binary"] else (TextMessage, "")
        got = nothing
        for event in self.incoming:
            if not isinstance(event, kind):
                raise RuntimeError(f"got {event!r:.200}")
            got += event.data
            if event.message_finished:
                break
        expected = b"".join(base64.b64decode(part) for part in message["parts"])
        return (got if message["binary"] else got.encode()) == expected

    def run(self, step):
        """Whether everything came back, and the bytes on the wire."""
        before = (self.sent, self.received)
        for message in step["messages"]:
            self.send(message)
        same = all([self.came_back(message) for message in step["messages"]])
        return same, [self.sent - before[0], self.received - before[1]]

    def close(self):
        self.write(self.protocol.send(CloseConnection(code=1000)))
        closed = next(self.incoming)
        if not isinstance(closed, CloseConnection):
            raise RuntimeError(f"got {closed!r:.200} in place of a close")
        return closed.code


def converse(offer, steps):
    client = Client(offer)
    result = {"answer": client.extension.answer, "different": [], "wire": {}}
    for step in steps:
        same, result["wire"][step["name"]] = client.run(step)
        if not same:
            result["different"].append(step["name"])
    result["close"] = client.close()
    client.socket.close()
    return result


def attempt(offer, steps):
    try:
        return converse(offer, steps)
    except Exception as error:  # whatever it is, the spec shows it
        return {"error": repr(error)}


task = json.load(sys.stdin)
print(json.dumps([attempt(offer, task["steps"]) for offer in task["offers"]]))
