"""What is answered when a request cannot be served: a status and one clear sentence."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from featherface.errors import ConfigError, FeatherFaceError, ImageError

LOG = logging.getLogger("featherface.problems")
"""Not below featherface.serve, whose lines are JSON already."""


class RequestError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The body that every error has."""
    return JSONResponse({"error": message}, status, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Every error, of ours, of the framework or of nobody's thinking, in the same form."""

    @app.exception_handler(RequestError)
    async def problem(_: Request, error: RequestError) -> JSONResponse:
        return answer(error.status, error.message, error.headers)

    @app.exception_handler(ImageError)
    async def image(_: Request, error: ImageError) -> JSONResponse:
        return answer(422, str(error))

    @app.exception_handler(ConfigError)
    async def config(_: Request, error: ConfigError) -> JSONResponse:
        return answer(422, str(error))

    @app.exception_handler(MemoryError)
    @app.exception_handler(FeatherFaceError)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # A network that finds no memory, mostly. What exactly failed names files of this machine: for the log only.
        LOG.error("a picture could not be looked at", exc_info=error)
        message = "could not be looked at, perhaps for want of memory; the service's log says why"
        return answer(503, message, {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        # The server logs it: the framework raises it again after this answer.
        return answer(500, "failed for a reason that was not foreseen; the service's log says more")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return answer(422, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail).lower(), error.headers)
