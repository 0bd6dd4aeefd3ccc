"""Load on the HTTP service: throughput beside the detector alone, latency, and what broken requests do to it.

    python benchmarks/service.py --requests 2000 --broken 0.25

A service is started on a free port and asked by 8 clients, each with one connection; before and after, the same
number of threads runs the detector in this process on the same photo. Memory is the service's, before and after.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from featherface import Detector

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "eileen_collins.jpg"
BROKEN = ("truncated", "text", "type", "huge", "disconnect")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--broken", type=float, default=0.0, help="share of the requests that are broken")
    arguments = parser.parse_args()

    photo = PHOTO.read_bytes()
    alone = in_process(photo, arguments.requests // 4)
    process, url = start()
    try:
        load(url, photo, 100, arguments.clients, 0.0)
        before = memory_mb(process.pid)
        seconds, times, answers = load(url, photo, arguments.requests, arguments.clients, arguments.broken)
        after = memory_mb(process.pid)
    finally:
        process.terminate()
        process.wait()
    alone = (alone + in_process(photo, arguments.requests // 4)) / 2
    served = len(times) / seconds
    cuts = statistics.quantiles(times, n=100)
    print(f"{os.cpu_count()} cores, {arguments.clients} clients, {arguments.requests} requests")
    print(f"in process {alone:.1f} pictures/s, served {served:.1f}, ratio {served / alone:.2f}")
    print(f"median {1e3 * cuts[49]:.0f} ms, p99 {1e3 * cuts[98]:.0f} ms, ratio {cuts[98] / cuts[49]:.1f}")
    print(f"memory {before:.0f} MB before, {after:.0f} MB after")
    print("answers", ", ".join(f"{kind} {sorted(found)}" for kind, found in sorted(answers.items())))


def in_process(photo: bytes, count: int) -> float:
    """Pictures a second of the detector alone, as many threads as cores."""
    detector, cores = Detector(threads=1), os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: detector.detect(photo), range(count)))
    return count / (time.perf_counter() - start)


def start() -> tuple[subprocess.Popen[bytes], str]:
    """A service on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from featherface.cli import main; main()", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            httpx.get(f"{url}/readyz")
        except httpx.HTTPError:
            if process.poll() is not None:
                raise SystemExit("the service did not start") from None
            time.sleep(0.1)
        else:
            return process, url


def load(
    url: str, photo: bytes, count: int, clients: int, broken: float
) -> tuple[float, list[float], dict[str, set[int]]]:
    """Seconds in all, seconds of each good request, and the answers to each kind of request."""
    times: list[float] = []
    answers: dict[str, set[int]] = {}
    numbers, lock = itertools.count(), threading.Lock()

    def client(seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(base_url=url, timeout=60) as session:
            while next(numbers) < count:
                kind = chance.choice(BROKEN) if chance.random() < broken else "good"
                begun = time.perf_counter()
                status = ask(session, url, kind, photo)
                with lock:
                    answers.setdefault(kind, set()).add(status)
                    if kind == "good":
                        times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun, times, answers


def ask(session: httpx.Client, url: str, kind: str, photo: bytes) -> int:
    """The status of one request; 0 for one that was never finished."""
    if kind == "disconnect":
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nabc")
        return 0
    content = {"truncated": photo[: len(photo) // 2], "text": b"hello", "huge": bytes(21_000_000)}.get(
        kind, photo
    )
    headers = {"content-type": "video/mp4" if kind == "type" else "image/jpeg"}
    return session.post("/v1/detect", content=content, headers=headers).status_code


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
