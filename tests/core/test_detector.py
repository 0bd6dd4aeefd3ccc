"""The shipped model on the sample pictures, through every way of looking."""

from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from featherface import Detector, list_models
from featherface.boxes import iou_matrix
from featherface.detector import overview_scale
from featherface.errors import ConfigError, FeatherFaceError, ImageError, ModelError
from featherface.runtimes.spec import ModelSpec
from featherface.zoo import WEIGHTS, find_model

COLLINS = [180, 60, 272, 178]
HOPPER = [176, 117, 354, 333]


@pytest.fixture(scope="module")
def detector():
    return Detector(threads=2)


def overlap(box, expected):
    return iou_matrix(np.asarray(box, np.float32)[None], np.array([expected], np.float32))[0, 0]


@pytest.mark.parametrize(
    ("name", "expected"), [("eileen_collins.jpg", COLLINS), ("grace_hopper.jpg", HOPPER)]
)
def test_finds_the_one_face_of_a_portrait(detector, examples, name, expected):
    found = detector.detect(examples / name)
    assert len(found) == 1
    assert overlap(found.boxes[0], expected) > 0.7


def test_landmarks_lie_where_eyes_nose_and_mouth_are(detector, examples):
    found = detector.detect(examples / "eileen_collins.jpg")
    # Read off the picture by eye: left eye, right eye, nose, mouth corners, as seen.
    expected = [[203, 101], [246, 104], [227, 126], [205, 140], [244, 141]]
    distance = np.linalg.norm(found.landmarks[0] - np.array(expected), axis=1)
    assert distance.max() < 7, distance


def test_finds_every_face_of_the_contact_sheet_and_nothing_else(detector, examples):
    found = detector.detect(examples / "contact_sheet.jpg")
    assert len(found) == 22


def test_what_passes_agree_on_comes_first(detector, examples):
    """The same faces, best first, none of them surer than its best pass."""
    photo, passes = examples / "contact_sheet.jpg", {"scales": (0.7, 1.0), "flip": True}
    merged, agreed = detector.detect(photo, **passes), detector.detect(photo, **passes, agree=True)
    assert len(agreed) == len(merged) and (np.diff(agreed.scores) <= 0).all()
    best = iou_matrix(agreed.boxes, merged.boxes).argmax(1)
    assert sorted(best) == list(range(len(merged)))
    assert (agreed.scores <= merged.scores[best] + 1e-6).all() and (agreed.scores < merged.scores[best]).any()


def test_passes_that_say_the_same_change_no_score(detector, examples):
    photo, twice = examples / "contact_sheet.jpg", {"scales": (1.0, 1.0)}
    merged, agreed = detector.detect(photo, **twice), detector.detect(photo, **twice, agree=True)
    np.testing.assert_allclose(agreed.scores, merged.scores, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"flip": True}, id="flip"),
        pytest.param({"scales": (1.0, 2.0)}, id="two scales"),
        pytest.param({"long_side": 400}, id="resized"),
        pytest.param({"tile": 256}, id="tiles"),
    ],
)
def test_every_way_of_looking_finds_the_same_place(detector, examples, options):
    found = detector.detect(examples / "eileen_collins.jpg", **options)
    assert overlap(found.boxes[0], COLLINS) > 0.7


def test_the_mirrored_picture_gives_the_mirrored_face(detector, portrait):
    straight = detector.detect(portrait)
    turned = detector.detect(np.ascontiguousarray(portrait[:, ::-1]))
    expected = straight.boxes[0][[2, 1, 0, 3]] * [-1, 1, -1, 1] + [portrait.shape[1], 0, portrait.shape[1], 0]
    assert overlap(turned.boxes[0], expected) > 0.8


def test_low_thresholds_let_low_scores_out(examples):
    low = Detector(score_threshold=0.02).detect(examples / "contact_sheet.jpg")
    assert (low.scores < 0.3).any() and (low.scores >= 0.02).all()


def test_limits_are_kept(examples):
    assert len(Detector(max_detections=5).detect(examples / "contact_sheet.jpg")) == 5


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (33, 31)])
def test_any_size_works(detector, shape):
    found = detector.detect(np.full((*shape, 3), 128, np.uint8))
    assert (found.height, found.width) == shape


def test_threads_share_one_detector(detector, portrait):
    alone = detector.detect(portrait).boxes
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(detector.detect, [portrait] * 8):
            np.testing.assert_allclose(found.boxes, alone, atol=1e-3)


def test_a_detector_survives_pickling(detector, portrait):
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_allclose(again.detect(portrait).boxes, detector.detect(portrait).boxes, atol=1e-3)


def test_batches_keep_their_order(detector, portrait):
    empty = np.zeros((64, 64, 3), np.uint8)
    assert [len(found) for found in detector.detect_batch([empty, portrait, empty])] == [0, 1, 0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"score_threshold": 1.5}, "score_threshold", id="score over 1"),
        pytest.param({"iou_threshold": -0.1}, "iou_threshold", id="IoU under 0"),
        pytest.param({"score_threshold": float("nan")}, "score_threshold", id="NaN"),
        pytest.param({"max_detections": 0}, "max_detections", id="no detections"),
        pytest.param({"threads": 0}, "threads", id="no threads"),
    ],
)
def test_bad_settings(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Detector(**options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (0,)}, "scales"),
        ({"tile": 3}, "tile"),
        ({"long_side": 0}, "long_side"),
    ],
)
def test_bad_options(detector, portrait, options, reason):
    with pytest.raises(ConfigError, match=reason):
        detector.detect(portrait, **options)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "not a readable", id="empty"),
        pytest.param(b"text", "not a readable", id="text"),
        pytest.param("cut", "not a readable|not a featherface", id="cut short"),
    ],
)
def test_bad_model_files_are_named(tmp_path, content, reason):
    path = tmp_path / "bad.onnx"
    whole = (WEIGHTS / "v2.onnx").read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(ModelError, match=f"bad.onnx.*({reason})"):
        Detector(path)


def test_a_foreign_onnx_is_refused(shared):
    with pytest.raises(ModelError, match="not a featherface model"):
        Detector(shared / "peers" / "yunet_n.onnx")


def test_unknown_names_list_what_there_is():
    with pytest.raises(ModelError, match="v2"):
        Detector("v9")


def test_a_changed_shipped_file_is_noticed(tmp_path, monkeypatch):
    for path in WEIGHTS.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr("featherface.zoo.WEIGHTS", tmp_path)
    with (tmp_path / "v2.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="sha256"):
        find_model("v2")


@pytest.mark.parametrize(
    ("name", "parameters", "files", "most_bytes"),
    [
        pytest.param("v2", 494_542, {"v2.onnx", "v2.safetensors"}, 2_000_000, id="v2"),
        pytest.param("nano_b", 172_780, {"nano_b.onnx", "nano_b.safetensors"}, 800_000, id="nano_b"),
        pytest.param("nano_b_int8", 172_780, {"nano_b_int8.onnx"}, 300_000, id="nano_b_int8"),
    ],
)
def test_cards_are_complete(name, parameters, files, most_bytes):
    card = {card.name: card for card in list_models()}[name]
    assert card.parameters == parameters
    assert set(card.files) == files
    assert card.onnx.stat().st_size <= most_bytes
    assert 0.5 < card.ap["original"]["hard"] < card.ap["original"]["easy"] < 1
    assert card.data and card.licence and card.recipe and card.init


def test_errors_are_one_family():
    assert issubclass(ImageError, FeatherFaceError) and issubclass(ModelError, FeatherFaceError)


@pytest.mark.parametrize(
    ("factor", "elsewhere", "why"),
    [
        (1.5, 0, "900 rows: seen twice, the same face"),
        (4, 0, "a face of 880 pixels, of which full size sees fragments"),
        # So large, the badge on her cap may be an alarm of its own.
        pytest.param(6, 1, "1,320 pixels: three fragments at full size", marks=pytest.mark.long),
    ],
)
def test_a_face_larger_than_any_prior_is_found_whole_and_once(detector, examples, factor, elsewhere, why):
    photo = cv2.imread(str(examples / "grace_hopper.jpg"), cv2.IMREAD_COLOR_RGB)
    large = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    expected, found = detector.detect(photo), detector.detect(large)
    assert len(expected) == 1
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 / factor
    there = found.filter(((centres > expected.boxes[0, :2]) & (centres < expected.boxes[0, 2:])).all(1))
    assert len(there) == 1 and len(found) - len(there) <= elsewhere, why
    assert iou_matrix(there.boxes / factor, expected.boxes)[0, 0] > 0.9
    height = expected.boxes[0, 3] - expected.boxes[0, 1]
    assert np.abs(there.landmarks / factor - expected.landmarks).max() < 0.04 * height
    if factor > 2:
        assert len(detector.detect(large, scales=(1.0,))) > 1, "otherwise there is nothing to mend"


@pytest.mark.parametrize(
    ("width", "height", "scale"),
    [
        (1280, 720, None), (640, 800, None), (4000, 600, None),
        (720, 1280, 0.5), (1920, 1080, 1 / 3), (4000, 3000, 0.16),
    ],
)  # fmt: skip
def test_tall_pictures_get_an_overview(width, height, scale):
    assert overview_scale(width, height) == (None if scale is None else pytest.approx(scale))


def test_small_faces_are_the_first_looks_own(detector, examples):
    sheet = cv2.imread(str(examples / "contact_sheet.jpg"), cv2.IMREAD_COLOR_RGB)
    below = np.concatenate([sheet, np.full((max(0, 1000 - len(sheet)), sheet.shape[1], 3), 90, np.uint8)])
    alone, both = detector.detect(below, scales=(1.0,)), detector.detect(below)
    assert overview_scale(below.shape[1], below.shape[0]) is not None
    assert len(both) >= len(alone) > 10
    small = np.flatnonzero((alone.boxes[:, 3] - alone.boxes[:, 1]) < 60)
    # Not quite the same: where both looks see a face, its box is their mean.
    assert iou_matrix(alone.boxes[small], both.boxes).max(1).min() > 0.92


class Fixed:
    """A network of one size that finds nothing, and says what it was shown."""

    def __init__(self, value=0.0, as_bytes=False):
        sizes = ((16, 32), (64, 128), (256, 512))
        self.spec = ModelSpec("fixed", (8, 16, 32), sizes, (0.1, 0.2), 32, (64, 64), as_bytes)
        self.shown, self.value = [], value

    def run(self, images):
        self.shown.append(images.copy())
        count = 2 * sum((64 // stride) ** 2 for stride in (8, 16, 32))
        scores = np.full((1, count), 0.9 if self.value else 0.0, np.float32)
        return scores, np.full((1, count, 4), self.value, np.float32), np.zeros((1, count, 10), np.float32)


def test_a_network_of_one_size_looks_once_at_a_tall_picture():
    """It sees the picture shrunk anyway: a small copy would be the same again."""
    session = Fixed()
    Detector(session).detect(np.zeros((1200, 1600, 3), np.uint8))
    assert len(session.shown) == 1


def test_boxes_beyond_all_numbers_end_at_the_border():
    """As a network asks for that is hardly trained: its validation must not end the training."""
    found = Detector(Fixed(1e4)).detect(np.zeros((64, 64, 3), np.uint8))
    assert len(found) and np.isfinite(found.boxes).all() and found.boxes.max() <= 64


@pytest.mark.parametrize("value", [np.inf, np.nan], ids=["infinite deltas", "not a number"])
def test_outputs_that_are_no_numbers_are_an_error(value):
    with pytest.raises(ModelError, match="not finite"):
        Detector(Fixed(value)).detect(np.zeros((64, 64, 3), np.uint8))


def test_a_network_of_bytes_is_shown_the_picture_as_it_lies_in_memory():
    """One detector after the other in a thread: both kinds of input are made in the same memory."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    shown = {}
    for as_bytes in (True, False, True):
        session = Fixed(as_bytes=as_bytes)
        Detector(session).detect(picture)
        (shown[as_bytes],) = session.shown
        assert shown[as_bytes].dtype == (np.uint8 if as_bytes else np.float32)
        np.testing.assert_array_equal(shown[as_bytes][0].transpose(1, 2, 0), picture)
