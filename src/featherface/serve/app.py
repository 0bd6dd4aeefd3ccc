"""The service: faces and anonymised photos over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from featherface import __version__
from featherface.detector import Detector
from featherface.errors import ImageError
from featherface.runtime import open_session
from featherface.serve import schema
from featherface.serve.bodies import Upload, check_size, decode, read_uploads
from featherface.serve.connections import Ending
from featherface.serve.problems import RequestError, install
from featherface.serve.settings import Settings
from featherface.serve.token import guard
from featherface.serve.watch import Metrics, Watch
from featherface.zoo import find_model, list_models

T = TypeVar("T")

HIDE_THRESHOLD = 0.2
"""Lower than for detecting, as on the command line: a face hidden for nothing costs less than one that is shown."""


@dataclass(frozen=True)
class Hiding:
    """How a photo is to be anonymised."""

    method: str
    shape: str
    grow: float
    score_threshold: float


Anonymise = Callable[[bytes, str, Hiding], tuple[bytes, str, int]]
"""Photo, its name, how -> new photo, its media type, how many faces were hidden. Raises ImageError."""


class Options(BaseModel, frozen=True):
    """The query of /v1/detect.

    As a model of the query, because the framework makes any other class in a thread of its own for every request.
    """

    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    iou_threshold: Annotated[float, Field(ge=0, le=1)] = 0.4
    max_detections: Annotated[int, Field(ge=1, le=10_000)] = 750
    scales: Annotated[
        str,
        Field(
            description="Sizes merged: at most eight numbers, each over 0 and at most 8",
            examples=["1,2"],
            json_schema_extra={"pattern": schema.SCALES},
        ),
    ] = "1"
    flip: bool = False
    long_side: Annotated[int | None, Field(ge=1, le=16_384)] = None
    tile: Annotated[int | None, Field(ge=64, le=16_384)] = None

    def factors(self) -> tuple[float, ...]:
        """The scales as numbers; RequestError 422 when they are none."""
        if not re.fullmatch(schema.SCALES, self.scales):
            message = "at most eight numbers, separated by commas, each over 0 and at most 8"
            raise RequestError(422, f"scales = {self.scales!r}: {message}")
        return tuple(float(text) for text in self.scales.split(","))


class Service:
    """A network, the threads it runs on, and the count of requests in hand."""

    def __init__(self, settings: Settings, anonymise: Anonymise) -> None:
        self.settings, self.anonymise, self.metrics = settings, anonymise, Metrics()
        self.session = open_session(find_model(settings.model), threads=1)
        self.pool = ThreadPoolExecutor(settings.lanes, thread_name_prefix="look")
        self.in_hand = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among the requests in hand; RequestError 429 when there is none."""
        if self.in_hand >= self.settings.max_requests:
            raise RequestError(429, f"{self.in_hand} requests are in hand; come back", {"Retry-After": "1"})
        self.in_hand += 1
        self.metrics.in_hand.set(self.in_hand)
        try:
            yield
        finally:
            self.in_hand -= 1
            self.metrics.in_hand.set(self.in_hand)

    async def work(self, function: Callable[..., T], *arguments: object) -> T:
        """Run on one of the threads; RequestError 503 when it takes too long."""
        future = asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)
        try:
            return await asyncio.wait_for(future, self.settings.timeout)
        except TimeoutError as error:
            message = f"took more than {self.settings.timeout:g} seconds"
            raise RequestError(503, message, {"Retry-After": "5"}) from error

    def look(self, upload: Upload, options: Options) -> dict[str, Any]:
        """One picture's entry in the answer."""
        factors = options.factors()
        detector = Detector(
            self.session, options.score_threshold, options.iou_threshold, options.max_detections
        )
        picture = decode(upload, self.settings.max_pixels)
        height, width = picture.shape[:2]
        base = options.long_side / max(height, width) if options.long_side else 1.0
        if height * width * (base * max(factors)) ** 2 > self.settings.max_pixels:
            raise RequestError(413, f"{upload.name}: enlarged, more than {self.settings.max_pixels:,} pixels")
        found = detector.detect(
            picture, scales=factors, flip=options.flip, long_side=options.long_side, tile=options.tile
        )
        self.metrics.pictures.inc()
        self.metrics.faces.inc(len(found))
        return {
            "path": upload.name,
            "width": width,
            "height": height,
            "faces": found.to_dict(),
            "error": None,
        }

    def hide(self, upload: Upload, how: Hiding) -> tuple[bytes, str, int]:
        """The photo with its faces hidden, its media type, and how many there were."""
        check_size(upload, self.settings.max_pixels)
        data, kind, faces = self.anonymise(upload.data, upload.name, how)
        self.metrics.pictures.inc()
        self.metrics.faces.inc(faces)
        return data, kind, faces

    def look_or_say(self, upload: Upload, options: Options) -> dict[str, Any]:
        """The same for one of several pictures: what is wrong with one does not spoil the others."""
        try:
            return self.look(upload, options)
        except (ImageError, RequestError) as error:
            return {"path": upload.name, "width": None, "height": None, "faces": [], "error": str(error)}


def create_app(settings: Settings, anonymise: Anonymise) -> FastAPI:
    """The ASGI application. Raises ModelError when the model cannot be opened."""
    service = Service(settings, anonymise)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.pool.shutdown(wait=True)

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
        async with service.place():
            uploads = await read_uploads(request, service.settings)
            if len(uploads) == 1:
                images = [await service.work(service.look, uploads[0], options)]
            else:
                looks = (service.work(service.look_or_say, upload, options) for upload in uploads)
                images = list(await asyncio.gather(*looks))
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
    async def anonymise(
        request: Request,
        method: Literal["blur", "pixelate", "solid"] = "blur",
        shape: Literal["ellipse", "box"] = "ellipse",
        grow: Annotated[float, Query(ge=1, le=4)] = 1.3,
        score_threshold: Annotated[float, Query(ge=0, le=1)] = HIDE_THRESHOLD,
    ) -> Response:
        """The photo with its faces hidden and without metadata, in its own format; X-Faces says how many."""
        how = Hiding(method, shape, grow, score_threshold)
        async with service.place():
            upload, *more = await read_uploads(request, service.settings)
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
        """Whether it has room for another request."""
        if service.in_hand >= service.settings.max_requests:
            raise RequestError(503, "full", {"Retry-After": "1"})
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response, responses=schema.METRICS)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
