"""`featherface serve`: the detector as an HTTP service."""

from __future__ import annotations

import math
import os
import socket
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.errors import ConfigError, MissingExtraError, reason_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from featherface.detector import Detector
    from featherface.serve.queries import Hiding
    from featherface.serve.settings import Settings

_SETTINGS = "FEATHERFACE_SERVE_SETTINGS"
_TOKEN_FILE = "FEATHERFACE_SERVE_TOKEN_FILE"
TOKEN = "FEATHERFACE_TOKEN"
_IDLE = 15
"""Seconds for a request's head, at most, and for a connection between two requests."""
_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    workers: Annotated[int, typer.Option(help="Processes, each with its own model and limits.", min=1)] = 1,
    cores: Annotated[int, typer.Option(help="Pictures side by side in a process; 0: one a core.")] = 0,
    max_bytes: Annotated[int, typer.Option(help="Largest body.")] = 20_000_000,
    max_pixels: Annotated[int, typer.Option(help="Largest picture.")] = 50_000_000,
    pixels_at_once: Annotated[
        int, typer.Option(help="Pixels in work at a time, in all pictures; 0: as --max-pixels.")
    ] = 0,
    max_requests: Annotated[int, typer.Option(help="Requests in hand before 429.")] = 32,
    max_connections: Annotated[int, typer.Option(help="Open connections before 503.")] = 512,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a body, for its pictures, and for its answer to be taken.")
    ] = 30.0,
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with a bearer token that requests must carry; or set {TOKEN}.")
    ] = None,
) -> None:
    """Serve detection and anonymising over HTTP, with a page at / and its description at /docs."""
    from featherface.runtime import open_session
    from featherface.zoo import find_model

    try:
        import uvicorn

        from featherface.serve.connections import PatientProtocol
        from featherface.serve.settings import Settings
        from featherface.serve.shared import common_folder
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    settings = Settings(
        model=model,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        pixels_at_once=pixels_at_once,
        max_requests=max_requests,
        max_connections=max_connections,
        timeout=timeout,
        cores=cores,
        token=_token(token_file),
    )
    open_session(find_model(model), threads=1)  # what is wrong with it is said before anything listens
    _check_free(host, port)
    app = partial(application, settings) if workers == 1 else _application_of_workers(settings, token_file)
    with nullcontext() if workers == 1 else common_folder():
        typer.echo(f"listening on http://{host}:{port}", err=True)
        uvicorn.run(
            app,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_config=_LOGGING,
            http=PatientProtocol,
            limit_concurrency=settings.max_connections + 1,  # it turns the one away that reaches it
            timeout_graceful_shutdown=settings.longest,
            timeout_keep_alive=min(_IDLE, math.ceil(timeout)),
            h11_max_incomplete_event_size=64 * 1024,
        )


def application(settings: Settings | None = None) -> FastAPI:
    """What every process runs; without settings, a worker with those that were left for it."""
    from featherface.serve.app import create_app

    return create_app(settings or _left_settings(), anonymise)


def _application_of_workers(settings: Settings, token_file: Path | None) -> str:
    """Leave the settings in the environment, from which workers start; and the name of what they are to run.

    Of the token only its file's name: it is in a file in order to be in no environment.
    """
    if token_file is not None and not token_file.is_file():
        raise ConfigError(f"{token_file}: must be a plain file, because every worker reads it at its start")
    os.environ[_SETTINGS] = settings.to_json()
    os.environ[_TOKEN_FILE] = "" if token_file is None else str(token_file.absolute())
    return f"{__name__}:{application.__name__}"


def _left_settings() -> Settings:
    from featherface.serve.settings import Settings

    file = os.environ[_TOKEN_FILE]
    return Settings.from_json(os.environ[_SETTINGS], _token(Path(file) if file else None))


def anonymise(detector: Detector, data: bytes, name: str, how: Hiding) -> tuple[bytes, str, int]:
    """The service's `Anonymise`, from the room that knows how: rooms do not import each other."""
    from featherface.anonymise.hide import Style
    from featherface.anonymise.photo import anonymise_bytes

    style = Style(method=how.method, shape=how.shape, grow=how.grow)
    done = anonymise_bytes(data, name, _suffix(data), detector, style)
    return done.data, _TYPES[done.suffix], len(done.found)


def _suffix(data: bytes) -> str:
    """The format by the first bytes; what is none of these comes back as PNG.

    BMP, too, though it could be written: a black and white one would come back in 24 times its size.
    """
    if data.startswith(b"\xff\xd8"):
        return ".jpg"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ".webp"
    return ".png"


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN)
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{file}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: the token is not UTF-8 text") from error


def _check_free(host: str, port: int) -> None:
    """ConfigError when the address cannot be listened on; uvicorn would say so in a stack of lines."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port}: cannot be listened on ({reason_of(error)})") from error


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "ours": {"format": "%(message)s"},  # is JSON already
        "others": {"()": "featherface.serve.watch.JsonLines"},
    },
    "handlers": {
        "ours": {"class": "logging.StreamHandler", "formatter": "ours"},
        "others": {"class": "logging.StreamHandler", "formatter": "others"},
    },
    "root": {"handlers": ["others"], "level": "WARNING"},
    "loggers": {"featherface.serve": {"handlers": ["ours"], "level": "INFO", "propagate": False}},
}
