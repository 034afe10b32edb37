"""Another service: a real HTTP server that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Got(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What was got so far, and what is answered next: (status, headers), the last one for ever."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(204, {})]
        self.body: bytes | None = None
        """Sent again and again after the headers, until the other side has gone."""
        self.port = 0
        self.scheme = "http"
        self._news = threading.Condition()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?key=of-the-receiver"

    def answer(self, *answers: int | tuple[int, dict[str, str]]) -> None:
        self.answers = [(one, {}) if isinstance(one, int) else one for one in answers]

    def wait_for(self, count: int) -> list[Got]:
        """Until so many requests came."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.got) >= count, timeout=30)
        return self.got

    def take(self, got: Got) -> tuple[int, dict[str, str]]:
        with self._news:
            self.got.append(got)
            self._news.notify_all()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more = receiver.take(Got(self.path, headers, body))
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                while receiver.body is not None:
                    self.wfile.write(receiver.body)
            except OSError:
                pass

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a handshake that the other side broke off

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        receiver.scheme = "https"
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
