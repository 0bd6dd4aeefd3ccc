"""The service: faces and anonymised photos over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from featherface import __version__
from featherface.serve import schema
from featherface.serve.connections import TRAFFIC, Ending
from featherface.serve.problems import RequestError, install
from featherface.serve.queries import Hiding, Options
from featherface.serve.sending import Weigh
from featherface.serve.service import Anonymise, Service, together
from featherface.serve.settings import Settings
from featherface.serve.token import guard
from featherface.serve.watch import Watch
from featherface.zoo import list_models


def create_app(settings: Settings, anonymise: Anonymise) -> FastAPI:
    """The ASGI application. Raises ModelError when the model cannot be opened."""
    service = Service(settings, anonymise)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with service.metrics.kept():
            yield {TRAFFIC: service.traffic}  # the server's state, which its connections see
        # The server has waited for what was in hand; what is left ends by itself, within one run of the network.
        service.pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="featherface",
        version=__version__,
        description=schema.DESCRIPTION,
        lifespan=life,
        docs_url=None,  # the framework's pages load their scripts from elsewhere
        redoc_url=None,
    )
    install(app)
    _add_routes(app, service)
    _add_states(app, service)
    paths = frozenset(path for path in (getattr(route, "path", None) for route in app.routes) if path)
    app.add_middleware(Weigh, traffic=service.traffic)  # innermost: what it refuses is counted and logged
    app.add_middleware(Watch, metrics=service.metrics, paths=paths)
    app.add_middleware(Ending)  # outermost: what it waits for is not part of a request's time
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    token = service.settings.token
    allowed = [] if token is None else [Depends(guard(token))]

    @app.post(
        "/v1/detect",
        dependencies=allowed,
        response_model=schema.Found,
        openapi_extra=schema.DETECT_BODY,
        responses=schema.DETECT,
    )
    async def detect(request: Request, options: Annotated[Options, Query()]) -> JSONResponse:
        """Faces of one or several pictures: boxes, scores and landmarks in pixels of the picture as seen."""
        options.factors()
        async with service.pictures(request) as uploads:
            look = service.look if len(uploads) == 1 else service.look_or_say
            images = await together(service.work(look, upload, options) for upload in uploads)
        if all(image["error"] for image in images):
            raise RequestError(422, "; ".join(image["error"] for image in images))
        return JSONResponse({"model": service.session.spec.name, "images": images})

    @app.post(
        "/v1/anonymise",
        dependencies=allowed,
        response_class=Response,
        openapi_extra=schema.PHOTO_BODY,
        responses=schema.ANONYMISE,
    )
    async def anonymise(request: Request, how: Annotated[Hiding, Query()]) -> Response:
        """The photo with its faces hidden and without metadata; X-Faces says how many.

        JPEG, PNG and WebP come back as what they were, everything else as PNG.
        """
        async with service.pictures(request) as (upload, *more):
            if more:
                raise RequestError(400, f"{1 + len(more)} pictures; this answers with one")
            data, kind, faces = await service.work(service.hide, upload, how)
        return Response(data, media_type=kind, headers={"X-Faces": str(faces)})

    @app.get("/v1/models", dependencies=allowed, response_model=schema.Models, responses=schema.UNAUTHORISED)
    async def models() -> dict[str, Any]:
        """What ships with the package, with its measured AP; and what this service runs."""
        shipped = [
            {"name": card.name, "title": card.title, "parameters": card.parameters, "ap": card.ap}
            for card in list_models()
        ]
        return {"serving": service.session.spec.name, "models": shipped}


def _add_states(app: FastAPI, service: Service) -> None:
    pages = files("featherface.serve")
    page, docs = ((pages / name).read_text(encoding="utf-8") for name in ("page.html", "docs.html"))
    if service.settings.token is not None:
        page = page.replace('<p id="key" hidden>', '<p id="key">')

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def home() -> str:
        return page

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def description() -> str:
        return docs

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: schema.PROBLEM})
    async def readyz() -> dict[str, str]:
        """Whether it has room for another request, and a thread that is not still at one that took too long."""
        if not service.is_ready:
            raise RequestError(503, "full", {"Retry-After": "1"})
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response, responses=schema.METRICS)
    async def metrics() -> Response:
        """For Prometheus; of all worker processes together, whichever answers."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
