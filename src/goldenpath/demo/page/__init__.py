"""The demo server's page: a small chat over the native protocol, until the web chat comes.

Four static files without dependencies. The page takes its script and style from this server only
(Content-Security-Policy) and builds what it shows from text nodes, never from HTML strings.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["page_routes"]

_FOLDER = Path(__file__).parent
_FILES = {
    "/": ("index.html", "text/html"),
    "/demo/page/chat.css": ("chat.css", "text/css"),
    "/demo/page/chat.js": ("chat.js", "text/javascript"),
    "/demo/page/connection.js": ("connection.js", "text/javascript"),
    "/demo/page/markdown.js": ("markdown.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """Routes of the page: `/` and its style and scripts under `/demo/page/`."""
    return [_route(path, name, media_type) for path, (name, media_type) in _FILES.items()]


def _route(path: str, name: str, media_type: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    async def give_file(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return Route(path, give_file, methods=["GET"])
