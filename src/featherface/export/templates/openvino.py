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
scores, box_deltas, landmark_deltas = (
    outputs[name][0] for name in ("scores", "box_deltas", "landmark_deltas")
)

# --- decode
priors = []
for stride, sizes in zip(about["strides"], about["prior_sizes"], strict=True):
    y, x, k = np.mgrid[: rows // stride, : columns // stride, : len(sizes)].reshape(3, -1)
    side = np.asarray(sizes)[k]
    priors.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side, side], 1))
priors = np.concatenate(priors)
scale = about["variances"]
centres = priors[:, :2] + box_deltas[:, :2] * scale[0] * priors[:, 2:]
halves = priors[:, 2:] * np.exp(box_deltas[:, 2:] * scale[1]) / 2
boxes = np.concatenate([centres - halves, centres + halves], 1)
landmarks = priors[:, None, :2] + landmark_deltas.reshape(-1, 5, 2) * scale[0] * priors[:, None, 2:]

# --- suppress
limits = about["thresholds"]
corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
kept = cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), limits["score"], limits["iou"])
for i in np.asarray(kept, int).ravel():
    print(
        f"{scores[i]:.3f}", (boxes[i] / shrink).round(1).tolist(), (landmarks[i] / shrink).round(1).tolist()
    )
