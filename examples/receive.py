#!/usr/bin/env python3
"""Receives webhooks, verifies their signatures and prints what they say.

    SEALPRINT_WEBHOOK_SECRET=whsec_… examples/receive.py 9000

For tries: a receiver for production has TLS in front of it, and remembers the ids that it has
seen, since a delivery may come more than once. Standard library only.
"""
import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds
secret = base64.b64decode(os.environ["SEALPRINT_WEBHOOK_SECRET"].removeprefix("whsec_"))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.genuine(body):
            self.send_response(401)
            self.end_headers()
            return
        print(self.headers["webhook-id"], body.decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def genuine(self, body):
        stamp = self.headers.get("webhook-timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE:
            return False
        said = f"{self.headers.get('webhook-id', '')}.{stamp}.".encode() + body
        want = "v1," + base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode()
        # While a secret is being changed there are two signatures.
        return any(hmac.compare_digest(want, s) for s in self.headers.get("webhook-signature", "").split())

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
