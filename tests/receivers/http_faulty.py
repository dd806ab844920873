"""Takes POSTs of NDJSON and treats each as it was told to. Writes a line of JSON into a file for each.

Usage: http_faulty.py FILE. Prints its port. Ends when standard input ends. Orders come there, one JSON object a line:

  {"next": ["500", "lose"]}            the next requests, in turn
  {"often": {"500": 0.1}, "seed": 7}   all others: each with its probability, or taken
  {"poison": ["40961"], "max": 60000}  incidents that are answered 400 in any batch; bytes of a body above which it is 413
  {"early": 60000}                     the same, but the 413 comes before the body is read, and the end of the connection too

  {"let_go": true}                     ends what "hold" holds

Whatever is not "take": nothing is kept but by "lose", "late" and "hold", which keep everything and lose the answer.
"""
import http.server
import json
import random
import socket
import struct
import sys
import threading


KEEPING = ("take", "lose", "late", "hold")


class Orders:
    def __init__(self):
        self.lock = threading.Lock()
        self.next, self.often, self.poison, self.max = [], {}, set(), None
        self.early, self.let_go = None, threading.Event()
        self.dice = random.Random(0)

    def obey(self, order):
        if order.get("let_go"):
            self.let_go.set()
        with self.lock:
            self.next += order.get("next", [])
            if "often" in order:
                self.often, self.dice = order["often"], random.Random(order.get("seed", 0))
            self.poison |= set(order.get("poison", []))
            self.early = order.get("early", self.early)
            self.max = order.get("max", self.max)

    def draw(self):
        with self.lock:
            if self.next:
                return self.next.pop(0)
            drawn = self.dice.random()
            for name, probability in self.often.items():
                drawn -= probability
                if drawn < 0:
                    return name
            return "take"

    def put_back(self, what):
        with self.lock:
            if what != "take":
                self.next.insert(0, what)


orders = Orders()


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        what, size = orders.draw(), int(self.headers["Content-Length"])
        if orders.early is not None and orders.early < size:
            # As servers do that look at Content-Length only: the answer comes before the body is read, and the end with it.
            what = "early"
            self.note(what, [], False)
            return self.answer(413, ends=True)
        if what == "cut":
            self.rfile.read(size // 2)
            self.note(what, [], False)
            return self.reset()
        lines = self.rfile.read(size).decode("utf-8", errors="strict").split("\n")[:-1]
        ids = [str(json.loads(line)["incident"]["incidentId"]) for line in lines]
        if what in KEEPING and orders.max is not None and orders.max < size:
            orders.put_back(what)
            self.note("413", [], False)
            return self.answer(413)
        if what in KEEPING and orders.poison.intersection(ids):
            orders.put_back(what)
            self.note("400", [], False)
            return self.answer(400)
        keeps = what in KEEPING
        self.note(what, lines, keeps)
        if what == "take":
            self.answer(200)
        elif what == "lose":
            self.reset()
        elif what == "hold":
            orders.let_go.wait(60)
            self.reset()
        elif what in ("hang", "late"):
            self.connection.settimeout(60)
            try:
                self.connection.recv(1)
            except OSError:
                pass
            self.close_connection = True
        elif what == "close":
            self.close_connection = True
        elif what == "429":
            self.answer(429, {"Retry-After": "1"})
        else:
            self.answer(int(what))

    def note(self, what, lines, kept):
        record = {"what": what, "kept": kept, "key": self.headers["Idempotency-Key"], "lines": lines}
        with orders.lock, open(sys.argv[1], "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def answer(self, status, headers={}, ends=False):
        words = b"as told"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(words)))
        if ends:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(words)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request):
        # Without the FIN that would go before a reset.
        self.close_request(request)

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
for line in sys.stdin:
    orders.obey(json.loads(line))
