"""Local files by their address."""

from __future__ import annotations

import os
from urllib.request import url2pathname


def local_path(name: str) -> str:
    """The path that a `file:` URL names (RFC 8089: `file:///a%20b.mp4`, `file:/a.mp4`, `file:a.mp4`); any other name
    as it is, and so is a file that is really called so, or a URL of another machine's file."""
    if not name.lower().startswith("file:") or os.path.lexists(name):
        return name
    path = name[len("file:") :]
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            return name
        path = slash + path
    # FFmpeg, and many a shell, take it as it stands, whatever a URL would say of its percent signs.
    return path if os.path.lexists(path) else url2pathname(path) or name
