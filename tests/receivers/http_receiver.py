"""Takes POSTs and writes each one as a line of JSON into a file, the body understood by Python's own gzip and json.

Usage: http_receiver.py FILE. Prints its port. Answers 400 to a body it does not understand. Ends when standard input ends.
"""
import gzip
import http.server
import json
import sys
import threading


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            size = len(body)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            text = body.decode("utf-8", errors="strict")
            if self.headers["Content-Type"] == "application/x-ndjson":
                assert text.endswith("\n"), "no newline at the end"
                events = [json.loads(line) for line in text[:-1].split("\n")]
            else:
                events = json.loads(text)
            record = {"headers": {name.lower(): value for name, value in self.headers.items()}, "size": size, "events": events}
            with open(sys.argv[1], "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            status, answer = 200, b"taken"
        except Exception as error:
            status, answer = 400, repr(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
