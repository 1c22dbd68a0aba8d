"""A server on this machine that plays Kaggle and Zenodo, with the faults that transfers meet."""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback(ThreadingHTTPServer):
    """Serves one file at every address; a POST is led to it, as Kaggle does."""

    daemon_threads = True

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.status = 200
        self.takes_ranges = True
        self.says_length = True
        self.breaks_after: int | None = None
        """Bytes of a response after which the connection is closed."""
        self.stalls_after: int | None = None
        """Bytes of a response after which nothing comes until ``goes_on`` is set."""
        self.goes_on = threading.Event()
        self.headers: dict[str, str] = {}
        self.posted: list[str] = []
        self.ranges: list[str | None] = []
        """The Range header of every GET."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: Loopback
    timeout = 10

    def do_POST(self) -> None:
        self.server.posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(302)
        self.send_header("Location", f"{self.server.address}/archive.zip?signed")
        self.end_headers()

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers["Range"])
        if server.status != 200:
            self.send_error(server.status)
            return
        start, size = 0, len(server.content)
        if self.headers["Range"] and server.takes_ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= size:
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if server.says_length:
            self.send_header("Content-Length", str(size - start))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = server.content[start:][: server.breaks_after]
        if server.stalls_after is not None:
            self.wfile.write(body[: server.stalls_after])
            server.goes_on.wait(10)
            body = body[server.stalls_after :]
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def loopback(content: bytes = b"") -> Iterator[Loopback]:
    """A running server."""
    with Loopback(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.goes_on.set()
            server.shutdown()
            thread.join(10)


def md5(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.md5(content).hexdigest()


def google_hash(content: bytes) -> str:
    """As Google's storage, where Kaggle keeps archives, says a checksum."""
    return f"crc32c=AAAAAA==,md5={b64encode(hashlib.md5(content).digest()).decode()}"
