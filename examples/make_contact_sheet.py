"""Composes contact_sheet.jpg from the two portraits beside it, at sizes from large to tiny."""

from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
WIDTH, GAP = 1000, 10
# Heights of the rows of portraits, in pixels; the faces in the last row are about 22 pixels high.
ROWS = (300, 200, 140, 110)


def main() -> None:
    """Write the sheet."""
    portraits = [cv2.imread(str(HERE / name)) for name in ("eileen_collins.jpg", "grace_hopper.jpg")]
    rows = [row(portraits, height) for height in ROWS]
    cv2.imwrite(str(HERE / "contact_sheet.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 90])


def row(portraits: list[np.ndarray], height: int) -> np.ndarray:
    """As many portraits as fit, in turn, on a light ground; every third one mirrored."""
    canvas = np.full((height + 2 * GAP, WIDTH, 3), 235, np.uint8)
    x, i = GAP, 0
    while True:
        picture = portraits[i % 2] if i % 3 else portraits[i % 2][:, ::-1]
        width = round(picture.shape[1] * height / picture.shape[0])
        if x + width + GAP > WIDTH:
            return canvas
        shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        canvas[GAP : GAP + height, x : x + width] = shrunk
        x, i = x + width + GAP, i + 1


if __name__ == "__main__":
    main()
