"""Serves the browser page (built from web/) on this machine only."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

from featherface.errors import ConfigError, FeatherFaceError, reason_of
from featherface.zoo import WEIGHTS

PAGE = Path(__file__).parent / "dist"

POLICY = "; ".join((Path(__file__).parent / "policy.txt").read_text(encoding="utf-8").splitlines())
"""What the page may load and ask, which is nothing elsewhere; the build writes the same into the page itself."""

HEADERS = {
    # As a header, too: what the page says of itself holds for the page, not for the worker that has the photo.
    "Content-Security-Policy": POLICY,
    # With these two the page is isolated from others, and browsers let its threads share memory.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_folder() -> Path:
    """The folder of the built page; FeatherFaceError when it has not been built."""
    if not (PAGE / "index.html").is_file():
        raise FeatherFaceError(
            "the browser page has not been built; in a clone with Node.js 20.19 or newer: make web, "
            # An installed copy of the package has its own folder, which the build does not write to.
            "then install again (pip install .), or run .venv/bin/featherface"
        )
    return PAGE


def open_server(port: int) -> ThreadingHTTPServer:
    """A server of the page on 127.0.0.1, bound but not yet serving; `port` 0 takes a free one.

    Raises ConfigError when the port is taken or not allowed, FeatherFaceError when there is no page.
    """
    handler = partial(PageHandler, directory=str(page_folder()))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port}: cannot be served on 127.0.0.1 ({reason_of(error)})") from error


class PageHandler(SimpleHTTPRequestHandler):
    """The files of one folder, without listings; the models come from the package's weights."""

    extensions_map = {  # noqa: RUF012 - declared so by the base class
        **SimpleHTTPRequestHandler.extensions_map,
        # The system's own table, which the base class would ask, is wrong on some machines.
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".onnx": "application/octet-stream",
    }

    def handle(self) -> None:
        """A browser may go away in the middle of a file; that is no news."""
        with suppress(ConnectionError):
            super().handle()

    def translate_path(self, path: str) -> str:
        """The file of a request. A wheel holds each network once, not a second time beside the page."""
        parts = PurePosixPath(path.partition("?")[0]).parts
        if len(parts) == 3 and parts[1] == "models" and parts[2].endswith(".onnx"):
            return str(WEIGHTS / parts[2])
        return super().translate_path(path)

    def list_directory(self, path: object) -> None:
        """Not shown."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Every answer carries the page's headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: one page makes dozens of requests."""
