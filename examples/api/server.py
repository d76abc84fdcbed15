#!/usr/bin/env python3
"""A small API of orders, for the example beside it. It needs nothing but Python 3.

    python3 server.py              serve http://127.0.0.1:8808 until Ctrl-C
    python3 server.py break 7      from now on page 2 of the orders of customer 7 is an error
    python3 server.py mend         every page is right again
    python3 server.py change       an order changes its status, another one is new
    python3 server.py log          what was asked since the last `log`

It keeps everything in memory: a new start has the first data again. All but the first speak to the running
server, at ORDERS_API_URL if that is set.
"""

import argparse
import json
import os
import re
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "example"
ADDRESS = "http://127.0.0.1:8808"
CUSTOMERS = 30
COUNTRIES = [("AT", "Austria"), ("DE", "Germany"), ("FR", "France"), ("IT", "Italy"), ("PT", "Portugal")]
STATUSES = ["new", "paid", "shipped"]
# Records of a page.
CUSTOMERS_AT_ONCE, ORDERS_AT_ONCE, COUNTRIES_AT_ONCE = 12, 2, 3


def moment(hours):
    first = datetime(2025, 1, 1, tzinfo=timezone.utc)
    return (first + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Shop:
    """What the API knows."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = []
        self.broken = None
        self.customers = [
            {"id": number, "name": f"Customer {number}", "country": COUNTRIES[number % 5][0]}
            for number in range(1, CUSTOMERS + 1)
        ]
        # Customer 7 has five orders, customer 6 has none.
        self.orders = []
        for customer in range(1, CUSTOMERS + 1):
            for _ in range(customer * 5 % 6):
                self.add(customer)

    def add(self, customer):
        number = len(self.orders) + 1
        order = {"id": number, "status": STATUSES[number % 3], "amount": number * 375 % 20_000 / 100}
        self.orders.append({**order, "updated_at": moment(number), "customer": customer})

    def change(self):
        self.add(12)
        self.orders[0].update(status="returned", updated_at=self.orders[-1]["updated_at"])


SHOP = Shop()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """The requests are shown by `log`."""

    def answer(self, status, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        _, place, what, *more = self.path.split("/") + [""]
        if place != "example":
            return self.answer(405, {"error": "only GET"})
        with SHOP.lock:
            if what == "break":
                SHOP.broken = int(more[0])
            elif what == "mend":
                SHOP.broken = None
            elif what == "change":
                SHOP.change()
            asked = []
            if what == "log":
                asked, SHOP.asked = SHOP.asked, []
        return self.answer(200, asked)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parameters = dict(urllib.parse.parse_qsl(url.query))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": f"the token of this example is `{TOKEN}`"})
        orders = re.fullmatch(r"/v1/customers/(\d+)/orders", url.path)
        with SHOP.lock:
            SHOP.asked.append(urllib.parse.unquote(self.path))
            if url.path == "/v1/countries":
                return self.countries(parameters)
            if url.path == "/v1/customers":
                return self.customers(parameters)
            if orders:
                return self.orders(int(orders[1]), parameters)
        return self.answer(404, {"error": "there is no such endpoint"})

    def countries(self, parameters):
        """An array; the header `Link` names the next page."""
        page = int(parameters.get("page", 1))
        end = page * COUNTRIES_AT_ONCE
        records = [{"code": code, "name": name} for code, name in COUNTRIES]
        link = f"</v1/countries?page={page + 1}>; rel=\"next\""
        headers = [("Link", link)] if end < len(records) else []
        return self.answer(200, records[end - COUNTRIES_AT_ONCE : end], headers)

    def customers(self, parameters):
        """Numbered pages that say how many there are."""
        page = int(parameters.get("page", 1))
        end = page * CUSTOMERS_AT_ONCE
        pages = -(-len(SHOP.customers) // CUSTOMERS_AT_ONCE)
        data = SHOP.customers[end - CUSTOMERS_AT_ONCE : end]
        return self.answer(200, {"data": data, "meta": {"pages": pages, "total": len(SHOP.customers)}})

    def orders(self, customer, parameters):
        """The orders of a customer, from a time on, with the cursor of the next page."""
        since = parameters.get("updated_since", "")
        found = [o for o in SHOP.orders if o["customer"] == customer and o["updated_at"] >= since]
        start = int(parameters.get("cursor", 0))
        if SHOP.broken == customer and start > 0:
            return self.answer(500, {"error": "this page is broken today"})
        end = start + ORDERS_AT_ONCE
        data = [{key: value for key, value in o.items() if key != "customer"} for o in found[start:end]]
        return self.answer(200, {"data": data, "next_cursor": str(end) if end < len(found) else None})


def serve(port):
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"serving http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def tell(what):
    url = f"{os.environ.get('ORDERS_API_URL', ADDRESS)}/example/{what}"
    try:
        with urllib.request.urlopen(url, data=b"") as answer:
            return json.load(answer)
    except urllib.error.URLError as error:
        sys.exit(f"no server at {url}: {error.reason}. Start it: python3 server.py")


def main():
    parser = argparse.ArgumentParser(description="A small API of orders.")
    parser.add_argument("--port", type=int, default=8808)
    parser.add_argument("what", nargs="?", default="serve", choices=["serve", "break", "mend", "change", "log"])
    parser.add_argument("customer", nargs="?", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.what == "serve":
        serve(arguments.port)
    elif arguments.what == "break":
        tell(f"break/{arguments.customer}")
    else:
        for line in tell(arguments.what):
            print(line)


if __name__ == "__main__":
    main()
