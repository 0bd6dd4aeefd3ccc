"""Load on the HTTP service: throughput beside the detector alone, latency, and what broken requests do to it.

    python benchmarks/service.py --requests 2000 --json docs/numbers/service.json
    python benchmarks/service.py --requests 10000 --broken 0.25 --json docs/numbers/service_broken.json

A service is started on a free port and asked by 8 clients, each with one connection; before and after, as many
threads as there are cores run the detector in this process on the same photo. Where no request is broken the clients
are bare sockets in one thread, because they share the cores with the service; otherwise a thread each. Memory is the
service's, before and after. Every good request's answer is compared with the first one's, and so is that of the slow
ones, which are good but sent in pieces and counted apart; an error has to be {"error": one sentence}. One broken
request in forty stalls, because its sender stops in the middle or reads no answer: the service has to give up on it
after the time-out that this benchmark sets to two seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx

from featherface import Detector
from featherface.benchmark.run import machine
from service_broken import ask, draw
from service_clients import WRONG, ask_steadily

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "eileen_collins.jpg"
TIMEOUT = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--broken", type=float, default=0.0, help="share of the requests that are broken")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    photo = PHOTO.read_bytes()
    alone = in_process(photo, arguments.requests // 4)
    process, url = start("--timeout", str(TIMEOUT))
    try:
        load(url, photo, 100, arguments.clients, 0.0)
        before = memory_mb(process.pid)
        seconds, times, answers = load(url, photo, arguments.requests, arguments.clients, arguments.broken)
        after = memory_mb(process.pid)
    finally:
        process.terminate()
        process.wait()
    alone = (alone + in_process(photo, arguments.requests // 4)) / 2
    cuts = statistics.quantiles(times, n=100)
    figures = {
        **machine(),
        "clients": arguments.clients,
        "requests": arguments.requests,
        "broken": arguments.broken,
        "in_process_a_second": alone,
        "served_a_second": len(times) / seconds,
        "served_over_in_process": len(times) / seconds / alone,
        "median_ms": 1e3 * cuts[49],
        "p99_ms": 1e3 * cuts[98],
        "p99_over_median": cuts[98] / cuts[49],
        "memory_mb_before": before,
        "memory_mb_after": after,
        "slow_but_good": counted({"slow": answers.pop("slow", Counter())})["slow"],
        "answers": counted(answers),
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def in_process(photo: bytes, count: int) -> float:
    """Pictures a second of the detector alone, as many threads as cores."""
    detector, cores = Detector(threads=1), os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: detector.detect(photo), range(count)))
    return count / (time.perf_counter() - start)


def start(*options: str) -> tuple[subprocess.Popen[bytes], str]:
    """A service on a free port, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from featherface.cli import main; main()", "serve", "--port", str(port)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
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
) -> tuple[float, list[float], dict[str, Counter[int]]]:
    """Seconds in all, seconds of each good request, and the answers to each kind of request, counted."""
    right = httpx.post(f"{url}/v1/detect", content=photo, headers={"content-type": "image/jpeg"}, timeout=60)
    if not broken:
        host, port = url.removeprefix("http://").split(":")
        seconds, good_times, good = ask_steadily((host, int(port)), photo, right.content, count, clients)
        return seconds, good_times, {"good": good}
    times: list[float] = []
    answers: dict[str, Counter[int]] = defaultdict(Counter)
    numbers, lock = itertools.count(), threading.Lock()

    def client(seed: int) -> None:
        chance = random.Random(seed)
        lean = HTTPConnection(url.removeprefix("http://"), timeout=60)
        with httpx.Client(base_url=url, timeout=60) as session, closing(lean):
            while next(numbers) < count:
                kind = draw(chance, broken)
                begun = time.perf_counter()
                status = (
                    ask_well(lean, photo, right.content)
                    if kind == "good"
                    else ask(session, kind, photo, right.content, TIMEOUT)
                )
                with lock:
                    answers[kind][status] += 1
                    if kind == "good":
                        times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun, times, answers


def ask_well(lean: HTTPConnection, photo: bytes, right: bytes) -> int:
    """The status of a good request among broken ones; WRONG for faces that are not the photo's.

    The service closes a connection on which nothing came while its client stalled on another: then it is opened anew.
    """
    try:
        lean.request("POST", "/v1/detect", photo, {"content-type": "image/jpeg"})
        answer = lean.getresponse()
    except ConnectionError:
        lean.close()
        lean.request("POST", "/v1/detect", photo, {"content-type": "image/jpeg"})
        answer = lean.getresponse()
    return WRONG if answer.read() != right and answer.status == 200 else answer.status


def counted(answers: dict[str, Counter[int]]) -> dict[str, dict[str, int]]:
    """For JSON."""
    return {kind: {str(status): n for status, n in sorted(found.items())} for kind, found in answers.items()}


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
