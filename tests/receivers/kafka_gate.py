"""A gate before a Kafka broker: it asks for a password before it lets anything through, and loses answers on order. Written here,
from the Kafka protocol guide, because no broker that can be installed here asks for one; the SCRAM in it is that of the package
scramp, which nobody here wrote.

    kafka_gate.py BROKER [CERTIFICATE KEY]

The first line on standard output is where it listens. Orders as for kafka_peer.py: ["lose", COUNT] lets so many produce requests
through and closes instead of answering; ["seen"] tells how many there were. User kim, password pencil.
"""
import json
import socket
import ssl
import struct
import sys
import threading

from scramp import ScramMechanism, ScramException

PRODUCE, METADATA, HANDSHAKE, VERSIONS, AUTHENTICATE = 0, 3, 17, 18, 36
USER, PASSWORD = "kim", "pencil"
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

broker = sys.argv[1].split(":")
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
context = None
if 3 < len(sys.argv):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
state = {"lose": 0, "seen": 0}


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def read(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def frame(stream):
    return read(stream, struct.unpack(">i", read(stream, 4))[0])


def send(stream, payload):
    stream.sendall(struct.pack(">i", len(payload)) + payload)


def redirected(answer):
    """Metadata of version 4 with every broker at the gate: correlation, throttle, then the list of brokers."""
    count, at, out = struct.unpack_from(">i", answer, 8)[0], 12, answer[:12]
    for _ in range(count):
        length = struct.unpack_from(">h", answer, at + 4)[0]
        out += answer[at:at + 4] + string("localhost") + struct.pack(">i", port)
        at += 4 + 2 + length + 4
        rack = struct.unpack_from(">h", answer, at)[0]
        out += answer[at:at + 2 + max(rack, 0)]
        at += 2 + max(rack, 0)
    return out + answer[at:]


def authenticate(client, correlation, body, session):
    """One step: nothing in the answer, an answer, or the words of a refusal."""
    data = body[4:]
    try:
        if session["mechanism"] == "PLAIN":
            if data != f"\0{USER}\0{PASSWORD}".encode():
                raise ScramException("invalid credentials, they were " + data.decode().replace("\0", " "))
            answer, session["done"] = b"", True
        elif "server" not in session:
            mechanism = ScramMechanism(session["mechanism"])
            stored = mechanism.make_auth_info(PASSWORD, iteration_count=4096)
            session["server"] = mechanism.make_server(lambda user: stored if user == USER else None)
            session["server"].set_client_first(data.decode())
            answer = session["server"].get_server_first().encode()
        else:
            session["server"].set_client_final(data.decode())
            answer, session["done"] = session["server"].get_server_final().encode(), True
    except Exception as error:
        send(client, correlation + struct.pack(">h", 58) + string(str(error)) + struct.pack(">iq", 0, 0))
        raise EOFError from error
    send(client, correlation + struct.pack(">hhi", 0, -1, len(answer)) + answer + struct.pack(">q", 3_600_000))


def serve(client):
    session = {"done": False}
    upstream = socket.create_connection((broker[0], int(broker[1])))
    try:
        client = context.wrap_socket(client, server_side=True) if context else client
        while True:
            request = frame(client)
            key, _, correlation, name = struct.unpack_from(">hh4sh", request)
            body = request[10 + max(name, 0):]
            if key == HANDSHAKE:
                session["mechanism"] = body[2:].decode()
                code = 0 if session["mechanism"] in MECHANISMS else 33
                listed = struct.pack(">i", len(MECHANISMS)) + b"".join(map(string, MECHANISMS))
                send(client, correlation + struct.pack(">h", code) + listed)
            elif key == AUTHENTICATE:
                authenticate(client, correlation, body, session)
            elif key != VERSIONS and not session["done"] and "--open" not in sys.argv:
                raise EOFError
            else:
                send(upstream, request)
                answer = frame(upstream)
                if key == PRODUCE:
                    state["seen"] += 1
                    if 0 < state["lose"]:
                        state["lose"] -= 1
                        raise EOFError
                send(client, redirected(answer) if key == METADATA else answer)
    except (EOFError, OSError):
        pass
    finally:
        client.close()
        upstream.close()


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
print(f"localhost:{port}", flush=True)
for line in sys.stdin:
    order, *arguments = json.loads(line)
    if order == "lose":
        state["lose"] = arguments[0]
    print(json.dumps({"ok": state["seen"]}), flush=True)
