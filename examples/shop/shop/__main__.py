"""Serve the shop on this machine: ``python -m shop``."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from shop.app import App
from shop.http import Request, Response

APP = App()


class Handler(BaseHTTPRequestHandler):
    """Turns HTTP into requests and responses of the application."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(sent) if sent else None
        except ValueError:
            response = Response(400, {"error": "bad_request", "message": "the body is not JSON"})
        else:
            response = APP.handle(Request(self.command, url.path, dict(parse_qsl(url.query)), body))
        self.send_response(response.status)
        payload = b"" if response.body is None else json.dumps(response.body).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815


if __name__ == "__main__":
    with HTTPServer(("127.0.0.1", 8000), Handler) as server:
        print("the shop is open on http://127.0.0.1:8000, for example /categories; Ctrl-C closes it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("closed")
