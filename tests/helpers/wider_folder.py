"""Ground truth of WIDER FACE's form for two pictures, each with one face: for tests."""

from __future__ import annotations

import numpy as np
from scipy.io import savemat

EVENTS = {"0--Parade": "march", "1--Handshaking": "greeting"}
FACE = (180, 60, 92, 118)
FILE = "march\n1\n180 60 92 118 0.9\n"


def cells(*values):
    """A MATLAB cell array, as a column."""
    column = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        column[i, 0] = value
    return column


def faces_with(box):
    """A wider_face_val.mat whose pictures have this one face."""
    return {
        "event_list": cells(*EVENTS),
        "file_list": cells(*map(cells, EVENTS.values())),
        "face_bbx_list": cells(*(cells(np.array([box], float)) for _ in EVENTS)),
    }


def break_mat(wider, name, content):
    if isinstance(content, dict):
        savemat(wider / "ground_truth" / name, content)
    else:
        (wider / "ground_truth" / name).write_bytes(content)
