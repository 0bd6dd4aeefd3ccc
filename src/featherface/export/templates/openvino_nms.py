"""Faces in a picture, with OpenVINO and OpenCV: python @MODEL@.example.py photo.jpg"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino

cv2.utils.logging.setLogLevel(0)  # one line of ours is enough
image = cv2.imread(sys.argv[1], cv2.IMREAD_COLOR_RGB) if len(sys.argv) == 2 else None
if image is None:
    sys.exit(f"{' '.join(sys.argv)}: one picture that can be read")

here = Path(__file__).parent
about = json.loads((here / "@MODEL@.json").read_text())
# f32: left to itself OpenVINO computes in bfloat16 where the CPU has it.
model = openvino.Core().compile_model(here / "@MODEL@", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

shrink = 1
if about["input"]["size"]:
    rows, columns = about["input"]["size"]
    shrink = min(1, rows / image.shape[0], columns / image.shape[1])
    image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
else:
    rows, columns = (-(-side // about["pad_multiple"]) * about["pad_multiple"] for side in image.shape[:2])
padded = np.full((rows, columns, 3), (123, 117, 104), np.uint8)
padded[: image.shape[0], : image.shape[1]] = image
images = padded[None]
if about["input"]["layout"] == "NCHW":
    images = images.transpose(0, 3, 1, 2).astype(np.float32)

# --- run
outputs = model({"images": images})
scores, boxes, landmarks = (outputs[name] for name in ("scores", "boxes", "landmarks"))

for score, box, points in zip(scores, boxes, landmarks, strict=True):
    print(f"{score:.3f}", (box / shrink).round(1).tolist(), (points.reshape(5, 2) / shrink).round(1).tolist())
