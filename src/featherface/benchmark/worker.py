"""The process that runs one model file: `python -m featherface.benchmark.worker '{"file": ...}'`.

Reads a line a command, writes a line of JSON an answer: `network N` and `whole N` give N times in ms, `stop`
gives the peak memory. Only this process knows the runtime, so none sees another's threads or allocator.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main(job: dict[str, Any]) -> None:
    """Load, run once, say so, then obey."""
    # What a runtime prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        note = _limit_threads(Path(job["file"]), job["threads"])
        network, whole = _prepare(job)
        about = {"faces": first_result(network, whole), "note": note}
    except Exception as error:
        answer({"error": f"{error or type(error).__name__}".splitlines()[0]})
        return
    answer({"ready": True, **about})
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        if command == "stop":
            break
        run = network if command == "network" else whole
        answer(None if run is None else [_milliseconds(run) for _ in range(int(count))])
    answer({"peak_mb": _peak_mb()})


def _limit_threads(path: Path, threads: int) -> str | None:
    """ExecuTorch's threads, which no session may limit but a process of its own can; what the row is to say if not."""
    if path.suffix.lower() != ".pte":
        return None
    from featherface.runtimes.executorch import size_pool

    return None if size_pool(threads) else "on as many threads as ExecuTorch takes"


def first_result(network: Callable[[], Any], whole: Callable[[], Any] | None) -> int | None:
    """One run and no more, since cold start is timed by it: the number of faces, None where only the network runs."""
    if whole is not None:
        return len(whole())
    network()
    return None


def _prepare(job: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """What runs the network alone, and what runs picture to faces, where we can."""
    from featherface.detector import Detector
    from featherface.errors import ModelError
    from featherface.images import PAD_COLOUR, new_input, read_image, resize
    from featherface.runtimes.card import is_openvino

    height, width = job["size"]
    photo = read_image(job["photo"])
    factor = min(height / photo.shape[0], width / photo.shape[1])
    small = resize(photo, max(1, int(photo.shape[1] * factor)), max(1, int(photo.shape[0] * factor)))
    picture = np.full((height, width, 3), PAD_COLOUR, np.uint8)
    picture[: small.shape[0], : small.shape[1]] = small
    try:
        session = _session(Path(job["file"]), job["threads"], job["precision"])
    except ModelError:
        # A file with a JSON of ours is no other's, but damaged.
        file = Path(job["file"])
        if is_openvino(file) or file.suffix != ".onnx" or _is_ours(file):
            raise
        return _foreign(job, picture), None
    multiple, fixed = session.spec.pad_multiple, session.spec.input_size
    images = new_input(picture, multiple, None, session.spec.as_bytes)
    if fixed is not None and images.shape[2:] != fixed:
        raise ModelError(f"takes {fixed[0]}x{fixed[1]} only")
    detector = Detector(session)
    return lambda: session.run(images), lambda: detector.detect(picture)


def _is_ours(path: Path) -> bool:
    from featherface.runtimes.card import card_path

    try:
        about = json.loads(card_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and "prior_sizes" in about


def _session(path: Path, threads: int, precision: str | None) -> Any:
    if precision is None:
        from featherface.runtime import open_session

        return open_session(path, threads)
    from featherface.runtimes.openvino import OpenVinoSession

    return OpenVinoSession(path, threads, precision)  # type: ignore[arg-type]


def _foreign(job: dict[str, Any], picture: Any) -> Callable[[], Any]:
    """Somebody else's ONNX detector: the network alone, on the same pixels."""
    import onnxruntime

    from featherface.images import filled

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    rows, columns = (filled(side) for side in picture.shape[:2])
    height, width = (
        declared if isinstance(declared, int) and declared > 0 else side
        for declared, side in zip(wanted.shape[2:], (rows, columns), strict=True)
    )
    if (height, width) != (rows, columns):
        raise ValueError(f"takes {height}x{width} only")
    images = np.zeros((1, 3, rows, columns), np.float32)
    images[0, :, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
    return lambda: session.run(None, {wanted.name: images})


def _peak_mb() -> float:
    """The most memory this process ever held."""
    # On Linux a child's ru_maxrss starts at what its parent held; this begins anew with the program.
    status = Path("/proc/self/status")
    if status.exists():
        held = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) / 1024
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _milliseconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
