"""Weigh the scores of a network's priors against each other, on labelled pictures.

    python scripts/balance_scores.py runs/nano_b_stage14/last.safetensors --save runs/nano_b_even/last.safetensors \\
        --data ../shared/data/widerface/train/label.txt

What a prior learned to be sure of need not mean the same from prior to prior, and a network that puts false alarms of
16 px before faces of 64 has a lower AP than it could have. The logit of each prior, z, becomes a z + b, which the
weights of its head can hold: nothing is added to the network. a and b are searched one by one, in ever smaller steps,
for the largest sum, by `--weights`, of the APs over faces of at least 50, 30 and 10 px in height, where WIDER FACE's
easy, medium and hard end.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from featherface.boxes import decode_boxes, iou_matrix
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.labelled import load_labelled
from featherface.evaluate.protocol import protocol
from featherface.evaluate.run import every_nth
from featherface.evaluate.wider import Matches, curve, first_on_face, match_all
from featherface.images import read_image, to_input
from featherface.model.network import FeatherFace
from featherface.model.weights import load_weights, save_weights
from featherface.priors import prior_boxes
from featherface.train.teacher import normalise

HEIGHTS = (50, 30, 10)
_STEPS = ((0.4, 0.15), (0.2, 0.08), (0.1, 0.04))  # of b and of a
_ROUNDS = 2
_MARGIN = 1.0  # a candidate this far under the threshold may come over it
_MOST = 2000
_PROTOCOL = protocol("original")


def _logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the network finds in one picture before suppression."""

    logits: NDArray[np.float32]
    """(N,)"""
    kind: NDArray[np.int64]
    """(N,) which of a cell's priors, over all levels."""
    rivals: NDArray[np.bool_]
    """(N, N) whether one suppresses the other."""
    face: NDArray[np.int64]
    """(N,) the face that each overlaps most, -1: none."""
    counted: list[NDArray[np.bool_]]
    """For each of HEIGHTS (F,): which faces count."""

    def kept(self, slopes: NDArray[np.float64], shifts: NDArray[np.float64]) -> Matches:
        """What suppression leaves, best first."""
        logits = slopes[self.kind] * self.logits + shifts[self.kind]
        alive = logits >= _logit(_PROTOCOL.score_threshold)
        best: list[int] = []
        for i in np.argsort(-logits, kind="stable"):
            if alive[i] and len(best) < _PROTOCOL.max_detections:
                best.append(int(i))
                alive &= ~self.rivals[i]
        face = self.face[best]
        return Matches(1 / (1 + np.exp(-logits[best])), face, first_on_face(face))


def candidates(network: FeatherFace, path: Path, truth: ImageTruth) -> Candidates:
    """Run the network on one picture at its own size."""
    config, picture = network.config, read_image(path)
    height, width = picture.shape[:2]
    images = to_input(picture, config.strides[-1])
    with torch.no_grad():
        found = network(normalise(torch.from_numpy(images)))
    logits = (found.class_logits[0, :, 1] - found.class_logits[0, :, 0]).numpy()
    likely = np.flatnonzero(logits >= _logit(_PROTOCOL.score_threshold) - _MARGIN)
    likely = likely[np.argsort(-logits[likely], kind="stable")][:_MOST]
    priors = prior_boxes(*images.shape[2:], config.strides, config.prior_sizes)[likely]
    boxes = decode_boxes(found.box_deltas[0].numpy()[likely], priors, config.variances)
    boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
    rows = np.column_stack((boxes[:, :2], boxes[:, 2:] - boxes[:, :2], logits[likely]))
    sides = np.array([side for level in config.prior_sizes for side in level])
    return Candidates(
        logits[likely],
        np.abs(priors[:, 2:3] - sides).argmin(1),
        iou_matrix(boxes, boxes) > _PROTOCOL.iou_threshold,
        match_all({(truth.event, truth.name): rows}, [truth])[0].face,
        [truth.counted["all"] & (truth.boxes[:, 3] >= least) for least in HEIGHTS],
    )


def average_precisions(
    pictures: Sequence[Candidates], slopes: NDArray[np.float64], shifts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AP in percent over the faces of each of HEIGHTS or more."""
    matches = [picture.kept(slopes, shifts) for picture in pictures]
    each = zip(*(picture.counted for picture in pictures), strict=True)
    return np.array([100 * curve(matches, counted, official=False).ap for counted in each])


def search(
    pictures: Sequence[Candidates], kinds: int, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """a (kinds,) and b (kinds,) of the best weighted AP; tells what each round reached."""
    slopes, shifts = np.ones(kinds), np.zeros(kinds)
    found = average_precisions(pictures, slopes, shifts)
    print(f"as it is: AP {_told(found)}", flush=True)
    best = weights @ found
    for step in _STEPS:
        for _ in range(_ROUNDS):
            before = best
            for kind in range(kinds):
                for values, change in zip((shifts, slopes), step, strict=True):
                    best = _moved(pictures, slopes, shifts, weights, best, (values, kind, change))
            if best == before:
                break
        print(
            f"steps of {step[0]} and {step[1]}: AP {_told(average_precisions(pictures, slopes, shifts))}",
            flush=True,
        )
    return slopes, shifts


def _moved(
    pictures: Sequence[Candidates],
    slopes: NDArray[np.float64],
    shifts: NDArray[np.float64],
    weights: NDArray[np.float64],
    best: float,
    move: tuple[NDArray[np.float64], int, float],
) -> float:
    """Change one number by a step up or down, in place, if that is better; the best so far."""
    values, kind, change = move
    old = values[kind]
    for moved in (old + change, old - change):
        values[kind] = moved
        score = float(weights @ average_precisions(pictures, slopes, shifts))
        if score > best:
            return score
    values[kind] = old
    return best


def rewrite(network: FeatherFace, slopes: NDArray[np.float64], shifts: NDArray[np.float64]) -> None:
    """Let the class heads give a z + b; box and landmark heads stay."""
    per_cell = network.config.priors_per_cell
    with torch.no_grad():
        for level, head in enumerate(network.heads):
            here = slice(level * per_cell, (level + 1) * per_cell)
            slope = torch.tensor(slopes[here], dtype=torch.float32).repeat_interleave(2)
            half = torch.tensor(shifts[here], dtype=torch.float32) / 2
            head.classes.weight.mul_(slope[:, None, None, None])
            head.classes.bias.mul_(slope).add_(torch.stack((-half, half), 1).flatten())


def _told(aps: NDArray[np.float64]) -> str:
    return " / ".join(f"{ap:.2f}" for ap in aps)


def main() -> None:
    """Run the network once, search, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights_file", type=Path, metavar="WEIGHTS")
    parser.add_argument("--data", type=Path, required=True, help="labels in any format that evaluate reads")
    parser.add_argument("--limit", type=int, default=600, help="pictures, evenly spread")
    parser.add_argument("--weights", type=float, nargs=3, default=(1.0, 0.5, 1.0), help="of the three APs")
    parser.add_argument("--save", type=Path, required=True)
    arguments = parser.parse_args()
    network = load_weights(arguments.weights_file).eval()
    pictures = every_nth(load_labelled(arguments.data), arguments.limit)
    torch.set_num_threads(1)
    with ThreadPoolExecutor(2) as pool:
        seen = list(
            pool.map(
                lambda each: candidates(network, *each), zip(pictures.paths, pictures.truths, strict=True)
            )
        )
    kinds = len(network.config.strides) * network.config.priors_per_cell
    slopes, shifts = search(seen, kinds, np.array(arguments.weights))
    print(f"a {np.round(slopes, 2).tolist()}\nb {np.round(shifts, 2).tolist()}")
    rewrite(network, slopes, shifts)
    arguments.save.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, arguments.save)


if __name__ == "__main__":
    main()
