"""Memory of the HTTP service for each pixel that it may work on at once: the rule in docs/service.md.

    python benchmarks/service_memory.py --json docs/numbers/service_memory.json

For each budget of megapixels a service is started with it as `--max-pixels` and `--max-bytes` left as it is; as many
clients as it has threads, and two more, send photos of many sizes up to the budget, to be found and hidden, mirrored
and at several sizes. Memory is the peak resident size that the kernel counted for the service (Linux), less what it
held before the first photo.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import threading
from pathlib import Path

import cv2
import httpx

from featherface.benchmark.run import machine
from service import start

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "contact_sheet.jpg"
ASKED = (
    "/v1/detect",
    "/v1/detect?flip=true",
    "/v1/detect?scales=0.5,1",
    "/v1/anonymise",
    "/v1/anonymise?method=pixelate",
)
# The network fills pictures up to a multiple of 32 rows and columns, which counts.
FILLED = 0.95
SHAPES = ((4, 3), (3, 4), (16, 9), (1, 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="2,6,12", help="budgets, separated by commas")
    parser.add_argument("--photos", type=int, default=60, help="photos sent to each service")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    rows = [measure(float(text), arguments.photos) for text in arguments.megapixels.split(",")]
    figures = {**machine(), "photos": arguments.photos, "rows": rows}
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(megapixels: float, photos: int) -> dict[str, float]:
    """Held before, held at most, and bytes between them for each pixel of the budget."""
    process, url = start("--max-pixels", str(int(1e6 * megapixels)), "--timeout", "120")
    try:
        before = peak_mb(process.pid)
        send(url, megapixels, photos)
        most = peak_mb(process.pid)
    finally:
        process.terminate()
        process.wait()
    return {
        "megapixels": megapixels,
        "mb_before": before,
        "mb_at_most": most,
        "bytes_a_pixel": (most - before) / megapixels,
    }


def send(url: str, megapixels: float, photos: int) -> None:
    """Send the photos from several clients; SystemExit when one is not answered with 200."""
    numbers, failed = itertools.count(), []
    picture = cv2.imread(str(PHOTO))

    def client() -> None:
        with httpx.Client(base_url=url, timeout=600) as session:
            while (number := next(numbers)) < photos:
                chance = random.Random(number)
                # Every third photo fills the budget; the others share it.
                pixels = FILLED * 1e6 * megapixels * (1 if number % 3 == 0 else chance.uniform(0.05, 1))
                across, down = chance.choice(SHAPES)
                side = (pixels / (across * down)) ** 0.5
                photo = cv2.resize(picture, (int(across * side), int(down * side)))
                body = cv2.imencode(".jpg", photo)[1].tobytes()
                answer = session.post(
                    chance.choice(ASKED), content=body, headers={"content-type": "image/jpeg"}
                )
                if answer.status_code != 200:
                    failed.append(f"{answer.status_code} {answer.text[:200]}")

    threads = [threading.Thread(target=client) for _ in range((os.cpu_count() or 1) + 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} photos were not served: {failed[0]}")


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
