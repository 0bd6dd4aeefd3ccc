"""Who may ask: the bearer token."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from featherface.serve.problems import RequestError

# Does not answer itself: its answer has another form than ours.
_BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with")


def guard(token: str) -> Callable[..., Awaitable[None]]:
    """A dependency that lets only requests with this token through; it also describes itself in OpenAPI."""

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> None:
        # Headers are decoded as latin-1; tokens are UTF-8.
        text = b"" if given is None else given.credentials.encode("latin-1")
        if not secrets.compare_digest(text, token.encode()):
            raise RequestError(401, "needs the bearer token", {"WWW-Authenticate": "Bearer"})

    return check
