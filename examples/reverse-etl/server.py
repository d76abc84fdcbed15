#!/usr/bin/env python3
"""A small CRM with an HTTP API, for the example beside it. It needs nothing but Python 3.

    python3 server.py              serve http://127.0.0.1:8809 until Ctrl-C
    python3 server.py log          what was asked since the last `log`
    python3 server.py list         the customers that it has

It keeps everything in memory: a new start has no customers. It refuses a customer whose e-mail address has no
`@`, and with it all others of the same request. A request whose Idempotency-Key it knows is answered again and
not applied again. All but the first speak to the running server, at CRM_API_URL if that is set.
"""

import argparse
import json
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "token-of-the-crm"
ADDRESS = "http://127.0.0.1:8809"


class Crm:
    """What the API knows."""

    def __init__(self):
        self.lock = threading.Lock()
        self.customers = {}
        self.answers = {}
        self.asked = []


CRM = Crm()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """The requests are shown by `log`."""

    def answer(self, status, value):
        body = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with CRM.lock:
            if self.path == "/example/list":
                return self.answer(200, list(CRM.customers.values()))
            asked, CRM.asked = CRM.asked, []
        return self.answer(200, asked)

    def write(self):
        """Applies a request, unless its key was there before."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": f"the token of this example is `{TOKEN}`"})
        key = self.headers.get("Idempotency-Key")
        with CRM.lock:
            if key not in CRM.answers:
                CRM.answers[key] = self.apply(json.loads(body or b"null"))
            status, value, what = CRM.answers[key]
            CRM.asked.append(f"{self.command} {self.path} {status}{what}")
        return self.answer(status, value)

    do_POST = do_PATCH = do_DELETE = write

    def apply(self, body):
        """The status, the answer, and what `log` says about it."""
        one = re.fullmatch(r"/v1/customers/(\d+)", self.path)
        rows = body["customers"] if self.path == "/v1/customers" else [body]
        what = "" if one else f" {len(rows)} customers"
        for row in rows:
            if row and "@" not in row["email"]:
                return 422, {"error": f"`{row['email']}` is not an e-mail address"}, what
        if self.command == "DELETE":
            gone = CRM.customers.pop(int(one[1]), None)
            return (204 if gone else 404), {}, what
        if self.command == "PATCH" and int(one[1]) not in CRM.customers:
            return 404, {"error": "there is no such customer"}, what
        for row in rows:
            CRM.customers[row["id"]] = row
        return 200, {}, what


def serve(port):
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"serving http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def ask(what):
    url = f"{os.environ.get('CRM_API_URL', ADDRESS)}/example/{what}"
    try:
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)
    except urllib.error.URLError as error:
        sys.exit(f"no server at {url}: {error.reason}. Start it: python3 server.py")


def main():
    parser = argparse.ArgumentParser(description="A small CRM.")
    parser.add_argument("--port", type=int, default=8809)
    parser.add_argument("what", nargs="?", default="serve", choices=["serve", "log", "list"])
    arguments = parser.parse_args()
    if arguments.what == "serve":
        serve(arguments.port)
    elif arguments.what == "log":
        for line in ask("log"):
            print(line)
    else:
        for customer in sorted(ask("list"), key=lambda customer: customer["id"]):
            print(f"{customer['id']} {customer['name']} {customer['orders']} {customer['revenue']}")


if __name__ == "__main__":
    main()
