"""What a request may cost: pixels in all passes, pixels at one time, seconds, places and bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest

from featherface import Detector
from featherface.cli.serve import anonymise
from featherface.errors import ModelError
from featherface.runtime import OnnxSession
from featherface.serve.app import create_app
from featherface.serve.limits import GaveUp, Timed, cost_of
from featherface.serve.queries import Options
from featherface.serve.service import Service
from featherface.serve.settings import Settings
from featherface.zoo import find_model


def png(width, height):
    return cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()


class Counting:
    """A network that finds nothing and counts the pixels it is shown."""

    def __init__(self):
        self.spec = OnnxSession(find_model("v2")).spec
        self.shown = []

    def run(self, images):
        self.shown.append(images.shape[2] * images.shape[3])
        count = sum(
            -(-images.shape[2] // stride) * -(-images.shape[3] // stride) * len(sizes)
            for stride, sizes in zip(self.spec.strides, self.spec.prior_sizes, strict=True)
        )
        return tuple(np.zeros((1, count, *rest), np.float32) for rest in ((), (4,), (10,)))


@pytest.mark.parametrize(
    ("size", "query"),
    [
        pytest.param((640, 480), {}, id="as it is"),
        pytest.param((333, 500), {}, id="sides that are no multiple"),
        pytest.param((700, 1000), {"flip": True}, id="tall, with an overview"),
        pytest.param((500, 700), {"long_side": 1200, "tile": 256}, id="tall when enlarged, in tiles"),
        pytest.param((2000, 1), {"scales": "1"}, id="a strip, which is filled up"),
        pytest.param((640, 480), {"scales": "0.5,1,2"}, id="sizes"),
        pytest.param((640, 480), {"flip": True}, id="mirrored"),
        pytest.param((640, 480), {"long_side": 1000, "scales": "1,1.5", "flip": True}, id="another length"),
        pytest.param((900, 700), {"tile": 256, "scales": "1"}, id="tiles with their overlap"),
        pytest.param((1000, 200), {"tile": 300, "scales": "1"}, id="tiles lower than they are wide"),
        pytest.param(
            (900, 700), {"tile": 1024, "scales": "0.5,2", "flip": True}, id="tiles at one size only"
        ),
    ],
)
def test_the_cost_is_what_the_detector_runs(size, query):
    options, session = Options(**query), Counting()
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    Detector(session).detect(
        picture,
        scales=options.factors(),
        flip=options.flip,
        long_side=options.long_side,
        tile=options.tile,
    )
    cost = cost_of(size, options, session.spec.pad_multiple)
    assert cost.total == sum(session.shown) and cost.at_once >= max(session.shown)
    assert cost == cost_of(size[::-1], options, session.spec.pad_multiple), "turned as its EXIF says"


def test_a_wide_picture_costs_as_much_as_if_it_stood_upright():
    """Whether its EXIF turns it is not known when its cost is asked for."""
    assert cost_of((1000, 700), Options(), 32) == cost_of((700, 1000), Options(), 32)


@pytest.mark.parametrize(
    ("size", "query", "says"),
    [
        pytest.param((700, 700), {"scales": "1.1"}, "as enlarged", id="enlarged"),
        pytest.param((100, 100), {"long_side": 800}, "as enlarged", id="enlarged to a length"),
        pytest.param((20_000, 1), {}, "filled up", id="a strip of 20,000 pixels, for the network 640,000"),
        pytest.param((600, 600), {"scales": "1,1,1,1,1,1,1,1"}, "in all sizes", id="eight times"),
        pytest.param((600, 600), {"scales": "1,1,1", "flip": True}, "mirrored", id="three times, mirrored"),
        pytest.param((700, 700), {"flip": True, "tile": 256}, "in tiles", id="tiles, whose overlap counts"),
    ],
)
def test_what_costs_too_much_is_refused_before_it_is_unpacked(size, query, says, ask, monkeypatch):
    monkeypatch.setattr("featherface.serve.service.decode_image", lambda *_: pytest.fail("unpacked"))
    answer = ask("POST", "/v1/detect", settings={"max_pixels": 550_000}, params=query, content=png(*size))
    assert answer.status_code == 413 and says in answer.json()["error"], answer.text


def test_anonymising_is_within_the_bounds_whenever_the_picture_is(ask):
    answer = ask("POST", "/v1/anonymise", settings={"max_pixels": 550_000}, content=png(700, 700))
    assert answer.status_code == 200, answer.text


def test_a_picture_of_other_proportions_than_its_header_says_is_refused(ask, photo, monkeypatch):
    """512x64 at 1,000 pixels is a strip; what comes out of the file, 512x512, would be a million pixels."""
    monkeypatch.setattr("featherface.serve.service.check_size", lambda *_: (512, 64))
    answer = ask("POST", "/v1/detect", params={"long_side": 1000}, content=photo)
    assert answer.status_code == 422 and "is 512x512" in answer.json()["error"]


def test_a_network_whose_time_is_over_runs_no_more():
    session = Counting()
    detector = Detector(Timed(session, time.monotonic() + 60))
    assert len(detector.detect(np.zeros((600, 600, 3), np.uint8), tile=256)) == 0 and len(session.shown) > 9
    session.shown.clear()
    with pytest.raises(GaveUp):
        Detector(Timed(session, time.monotonic() - 1)).detect(np.zeros((60, 60, 3), np.uint8))
    assert not session.shown


@pytest.fixture
def slow_app(monkeypatch):
    """`slow_app(seconds, timeout=...)`: a service whose network takes so long for each run, and the service itself."""

    def make(seconds, **settings):
        made = []
        monkeypatch.setattr(
            "featherface.serve.app.Service", lambda *of: (made.append(Service(*of)), made[-1])[1]
        )
        app = create_app(Settings(**settings), anonymise)
        (service,) = made
        real = service.session

        def run(images):
            time.sleep(seconds)
            return real.run(images)

        service.session = SimpleNamespace(spec=real.spec, run=run)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test"), service

    return make


@pytest.mark.parametrize(
    ("path", "query", "size"),
    [
        pytest.param("/v1/detect", {"tile": 256}, (1500, 1500), id="between tiles"),
        pytest.param("/v1/detect", {"scales": ",".join("1" * 8)}, (64, 64), id="between sizes"),
        pytest.param("/v1/anonymise", {}, (64, 64), id="before the mirrored pass of a photo to be hidden"),
    ],
)
def test_the_time_out_ends_the_work(path, query, size, slow_app):
    """The thread is busy for one more run; until then the service says that it is not ready."""
    client, service = slow_app(0.6, timeout=0.5, cores=1)

    async def run():
        async with client:
            late = await client.post(path, params=query, content=png(*size))
            unready = await client.get("/readyz")
            lines = (await client.get("/metrics")).text.splitlines()
            end = time.monotonic() + 10
            while service.late:
                assert time.monotonic() < end, "it went on"
                await asyncio.sleep(0.02)
            return late, unready, lines, await client.get("/readyz")

    late, unready, lines, ready = asyncio.run(run())
    assert late.status_code == 503 and "took more than 0.5 seconds" in late.json()["error"]
    assert unready.status_code == 503 and "featherface_threads_late 1.0" in lines
    assert ready.status_code == 200


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ModelError("bad alloc"), id="no memory"),
        pytest.param(MemoryError(), id="no memory for Python"),
    ],
)
def test_a_picture_that_fails_leaves_no_other_at_work_uncounted(error, slow_app):
    """The answer comes when all have ended: the place and the bytes are given back then, not before."""
    client, service = slow_app(0.3, cores=2)
    slow, begun, at_work = service.session.run, threading.Event(), []

    def run(images):
        if images.shape[2] == 32:
            begun.wait(10)
            raise error
        at_work.append(images)
        begun.set()
        found = slow(images)
        at_work.pop()
        return found

    service.session.run = run
    files = [("file", (f"{side}.png", png(side, side))) for side in (32, 64)]

    async def ask():
        async with client:
            answer = await client.post("/v1/detect", files=files)
            return answer, service.in_hand, list(at_work)

    answer, in_hand, still = asyncio.run(ask())
    assert answer.status_code == 503 and in_hand == 0 and not still


def test_what_waits_for_a_thread_in_vain_is_never_begun(slow_app):
    client, service = slow_app(0.4, timeout=0.3, cores=1)

    async def run():
        async with client:
            return await asyncio.gather(*(client.post("/v1/detect", content=png(64, 64)) for _ in range(5)))

    assert [answer.status_code for answer in asyncio.run(run())] == [503] * 5
    service.pool.shutdown(wait=True)
    assert service.pixels._free == service.pixels.pixels and not service.late


@pytest.mark.long
def test_the_end_does_not_wait_for_a_thread(slow_app):
    """The server has waited before; a thread that is still in a run of the network must not hold it for ever."""
    client, service = slow_app(2, timeout=0.2, cores=1)

    async def run():
        app = client._transport.app
        async with client, app.router.lifespan_context(app):
            assert (await client.post("/v1/detect", content=png(64, 64))).status_code == 503
            start = time.monotonic()
        return time.monotonic() - start

    assert asyncio.run(run()) < 1 and service.late
    service.pool.shutdown(wait=True)


def in_the_middle_of(client, service, data, then):
    """What `then` gives while the body of one request has half arrived; that request's answer, too."""

    async def run():
        go_on = asyncio.Event()

        async def body():
            yield data[: len(data) // 2]
            await go_on.wait()
            yield data[len(data) // 2 :]

        async with client:
            slow = asyncio.create_task(client.post("/v1/detect", content=body()))
            while not service.traffic.bodies:
                await asyncio.sleep(0.01)
            between = await then(client)
            go_on.set()
            return between, await slow

    result = asyncio.run(run())
    assert service.in_hand == service.traffic.bodies == 0
    return result


def test_a_slow_sender_takes_no_place(slow_app, photo):
    client, service = slow_app(0, max_requests=1)
    fast, slow = in_the_middle_of(client, service, photo, lambda c: c.post("/v1/detect", content=photo))
    assert fast.status_code == slow.status_code == 200


def test_bodies_that_arrive_are_bounded_by_their_bytes(slow_app, photo):
    """Ten bodies of the largest size: half of one is here, so ten more do not fit."""
    client, service = slow_app(0, max_bytes=len(photo))

    async def many(client):
        service.traffic.bodies += 9 * len(photo)
        answer = await client.post("/v1/detect", content=photo)
        service.traffic.bodies -= 9 * len(photo)
        return answer

    refused, slow = in_the_middle_of(client, service, photo, many)
    assert refused.status_code == 429 and "bytes; come back" in refused.json()["error"]
    assert refused.headers["retry-after"] == "1" and slow.status_code == 200


def test_more_than_fits_is_told_to_come_back(slow_app):
    client, _ = slow_app(0.5, max_requests=1, cores=1)

    async def run():
        async with client:
            first = asyncio.create_task(client.post("/v1/detect", content=png(64, 64)))
            await asyncio.sleep(0.2)
            return (
                await client.post("/v1/detect", content=png(64, 64)),
                await client.get("/readyz"),
                await first,
            )

    refused, unready, first = asyncio.run(run())
    assert refused.status_code == 429 and unready.status_code == 503 and first.status_code == 200
