"""A registry that can only be searched, as Docker Hub's index is: `python catalog.py PORT`."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

FOUND = [
    ("busybox", "Busybox base image. Small, and with everything that a shell wants.", 3100, True),
    ("me/busybox", "", 12, False),
    ("you/busybox-curl", "with curl\nand more", 3, False),
]


class Handler(BaseHTTPRequestHandler):
    """Answers /v1/_ping and /v1/search."""

    def do_GET(self) -> None:
        """Answer."""
        address = urlsplit(self.path)
        if address.path == "/v1/_ping":
            self._answer(200, {"standalone": True})
        elif address.path == "/v1/search":
            query = parse_qs(address.query)
            term, limit = query["q"][0], int(query.get("n", ["25"])[0])
            self._answer(
                200, {"results": [one for one in _rows() if term in str(one["name"])][:limit]}
            )
        else:
            self._answer(404, {})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _rows() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "description": description,
            "star_count": stars,
            "is_official": is_official,
            "is_automated": False,
        }
        for name, description, stars, is_official in FOUND
    ]


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
