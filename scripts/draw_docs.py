"""Draws the pictures of the documentation again: python scripts/draw_docs.py [FOLDER]. Needs the train extra."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface import Detector
from featherface.atomic import write_bytes, write_text
from featherface.boxes import decode_boxes, decode_landmarks
from featherface.images import encode_image, read_image, to_input
from featherface.model import build, preset
from featherface.model.attention_maps import coordinate_gates, draw_gates
from featherface.model.diagram import to_svg
from featherface.model.summary import summarise
from featherface.model.weights import load_weights
from featherface.priors import prior_boxes
from featherface.zoo import WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
LIGHT, DARK, GREEN, ORANGE = (235, 235, 235), (40, 40, 40), (40, 200, 90), (255, 150, 30)
Picture = NDArray[np.uint8]


def main(folder: Path) -> None:
    """Write every picture."""
    portrait = read_image(ROOT / "examples" / "eileen_collins.jpg")
    sheet = read_image(ROOT / "examples" / "contact_sheet.jpg")
    detector = Detector()
    network = build(preset("v2"))
    write_text(folder / "pipeline.svg", to_svg("v2", summarise(network, 640, 640), 640, 640))
    pictures = {
        "detected.jpg": detector.detect(sheet).draw(sheet),
        "priors.jpg": priors_drawing(detector, portrait),
        "decode.jpg": decode_drawing(detector, portrait),
        "nms.jpg": nms_drawing(portrait),
        "attention.jpg": attention_drawing(portrait),
    }
    for name, picture in pictures.items():
        write_bytes(folder / name, encode_image(picture, Path(name).suffix))
        print(folder / name)


def priors_drawing(detector: Detector, picture: Picture) -> Picture:
    """One panel a level: its cells, and the priors of one of them."""
    spec = detector.session.spec
    panels = []
    for stride, sizes in zip(spec.strides, spec.prior_sizes, strict=True):
        panel = washed(picture)
        height, width = panel.shape[:2]
        for x in range(0, width, stride):
            cv2.line(panel, (x, 0), (x, height), LIGHT, 1)
        for y in range(0, height, stride):
            cv2.line(panel, (0, y), (width, y), LIGHT, 1)
        cell = np.array([width / 2, height / 2]) // stride * stride + stride / 2
        for size in sizes:
            rectangle(panel, np.concatenate([cell - size / 2, cell + size / 2]), ORANGE)
        caption(panel, f"stride {stride}: priors of {' and '.join(map(str, sizes))} pixels")
        panels.append(panel)
    return beside(panels)


def decode_drawing(detector: Detector, picture: Picture) -> Picture:
    """The best prior of a face, what the network adds to it, and the face."""
    spec = detector.session.spec
    images = to_input(picture, spec.pad_multiple)
    scores, box_deltas, landmark_deltas = (output[0] for output in detector.session.run(images))
    priors = prior_boxes(images.shape[2], images.shape[3], spec.strides, spec.prior_sizes)
    best = [int(scores.argmax())]
    prior = priors[best][0]
    box = decode_boxes(box_deltas[best], priors[best], spec.variances)[0]
    points = decode_landmarks(landmark_deltas[best], priors[best], spec.variances)[0]

    first, second, third = washed(picture), washed(picture), washed(picture)
    corners = np.concatenate([prior[:2] - prior[2:] / 2, prior[:2] + prior[2:] / 2])
    rectangle(first, corners, ORANGE)
    cv2.circle(first, place(prior[:2]), 4, ORANGE, -1, cv2.LINE_AA)
    caption(first, f"the prior with the best score, {scores[best[0]]:.2f}")
    rectangle(second, corners, ORANGE)
    rectangle(second, box, GREEN)
    centre = (box[:2] + box[2:]) / 2
    cv2.arrowedLine(second, place(prior[:2]), place(centre), DARK, 2, cv2.LINE_AA, tipLength=0.3)
    dx, dy, dw, dh = box_deltas[best[0]]
    caption(second, f"deltas {dx:+.2f} {dy:+.2f} move, {dw:+.2f} {dh:+.2f} scale")
    rectangle(third, box, GREEN)
    for point in points:
        cv2.arrowedLine(third, place(prior[:2]), place(point), DARK, 1, cv2.LINE_AA, tipLength=0.1)
        cv2.circle(third, place(point), 4, GREEN, -1, cv2.LINE_AA)
    caption(third, "landmarks start at the prior's centre too")
    return beside([first, second, third])


def nms_drawing(picture: Picture) -> Picture:
    """The candidates of one face, and what non-maximum suppression leaves."""
    panels = []
    for title, iou in (("candidates over 0.5", 1.0), ("after non-maximum suppression", 0.4)):
        panel = washed(picture)
        found = Detector(iou_threshold=iou).detect(picture)
        for box in found.boxes:
            rectangle(panel, box, GREEN)
        caption(panel, f"{title}: {len(found)}")
        panels.append(panel)
    return beside(panels)


def attention_drawing(picture: Picture) -> Picture:
    """Coordinate Attention on a photo, at half the size."""
    network = load_weights(WEIGHTS / "v2.safetensors")
    drawn = draw_gates(picture, coordinate_gates(network, picture), network.config.strides)
    return np.asarray(cv2.resize(drawn, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def washed(picture: Picture) -> Picture:
    """A pale copy to draw on."""
    return np.asarray(picture * 0.6 + 100, np.uint8)


def rectangle(panel: Picture, box: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    """A box, xyxy."""
    cv2.rectangle(panel, place(box[:2]), place(box[2:]), colour, 2, cv2.LINE_AA)


def place(point: NDArray[np.floating]) -> tuple[int, int]:
    """The nearest pixel."""
    return round(float(point[0])), round(float(point[1]))


def caption(panel: Picture, text: str) -> None:
    """A line on a dark strip at the foot."""
    height = panel.shape[0]
    panel[height - 34 :] = DARK
    cv2.putText(panel, text, (10, height - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.58, LIGHT, 1, cv2.LINE_AA)


def beside(panels: list[Picture]) -> Picture:
    """Panels in a row with white between them, shrunk to 1200 pixels."""
    gap = np.full((panels[0].shape[0], 12, 3), 255, np.uint8)
    row = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    scale = min(1.0, 1200 / row.shape[1])
    return np.asarray(cv2.resize(row, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
