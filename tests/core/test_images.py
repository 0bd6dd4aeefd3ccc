"""Reading pictures: every kind that should work, every kind that must fail with its name."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from featherface.errors import ImageError
from featherface.images import PAD_COLOUR, new_input, read_image, to_input


def encoded(mode="RGB", size=(40, 30), form="PNG", **options):
    """The bytes of a picture whose left half is red-ish and right half blue-ish."""
    picture = Image.new("RGB", size, (200, 30, 20))
    picture.paste((20, 30, 200), (size[0] // 2, 0, size[0], size[1]))
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def exif_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(form="JPEG", exif=exif)


def deep_grey():
    done, data = cv2.imencode(".png", np.full((30, 40), 40_000, np.uint16))
    assert done
    return data.tobytes()


def animated():
    frames = [Image.new("RGB", (40, 30), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        pytest.param(encoded(form="JPEG"), (30, 40, 3), id="JPEG"),
        pytest.param(encoded(form="WEBP"), (30, 40, 3), id="WebP"),
        pytest.param(encoded("L"), (30, 40, 3), id="grey"),
        pytest.param(encoded("P"), (30, 40, 3), id="palette"),
        pytest.param(encoded("RGBA"), (30, 40, 3), id="alpha is dropped"),
        pytest.param(encoded("CMYK", form="JPEG"), (30, 40, 3), id="CMYK"),
        pytest.param(encoded(size=(1, 1)), (1, 1, 3), id="one pixel"),
        pytest.param(deep_grey(), (30, 40, 3), id="16 bit"),
        pytest.param(exif_turned(), (40, 30, 3), id="EXIF-turned, so height and width change places"),
        pytest.param(animated(), (30, 40, 3), id="animated: the first frame"),
    ],
)
def test_reads(data, shape, tmp_path):
    path = tmp_path / "höhe and width.img"
    path.write_bytes(data)
    for source in (path, str(path), data):
        image = read_image(source)
        assert image.dtype == np.uint8
        assert image.shape == shape


def test_colours_are_rgb_and_the_first_frame_is_the_first():
    assert read_image(encoded())[0, 0].tolist() == [200, 30, 20]
    assert read_image(animated())[0, 0, 0] > 200


def test_pil_images_read_as_their_files_do():
    data = exif_turned()
    difference = read_image(Image.open(io.BytesIO(data))).astype(int) - read_image(data)
    assert np.abs(difference).max() <= 3, "only the two JPEG decoders differ"


def test_arrays_pass_through_and_bgr_is_turned():
    array = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(read_image(array), array)
    np.testing.assert_array_equal(read_image(array, bgr=True), array[..., ::-1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "0 bytes", id="empty"),
        pytest.param(b"this is no picture", "not a picture", id="text"),
        pytest.param(encoded(form="JPEG", size=(400, 300))[:-300], "truncated", id="JPEG cut short"),
        pytest.param(encoded(size=(400, 300))[:-30], "truncated", id="PNG cut short"),
        pytest.param(encoded(form="WEBP", size=(400, 300))[:-30], "truncated", id="WebP cut short"),
        pytest.param(animated()[:-20], "truncated", id="GIF cut short"),
    ],
)
def test_bad_files_are_named(data, reason, tmp_path):
    path = tmp_path / "bad name.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=f"bad name.jpg: .*{reason}"):
        read_image(path)


def test_missing_and_folder_and_null_byte(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path, "nul\0byte.jpg"):
        with pytest.raises(ImageError, match=r"none\.jpg|directory|not a path"):
            read_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_no_permission(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encoded())
    path.chmod(0)
    with pytest.raises(ImageError, match="permission"):
        read_image(path)


@pytest.mark.long
def test_a_decompression_bomb_is_refused():
    small_file_of_many_pixels = encoded("L", size=(30_000, 12_000), compress_level=1)
    with pytest.raises(ImageError, match="pixels"):
        read_image(small_file_of_many_pixels)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        pytest.param(np.zeros((4, 4, 3), np.float32), "float32", id="floats have no stated range"),
        pytest.param(np.full((4, 4, 3), np.nan), "float64", id="NaN"),
        pytest.param(np.zeros((4, 4), np.uint8), "shape", id="no channels"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), "shape", id="four channels"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), "no pixels", id="no rows"),
    ],
)
def test_bad_arrays(array, reason):
    with pytest.raises(ImageError, match=reason):
        read_image(array)


def test_other_types_are_named():
    with pytest.raises(ImageError, match="int"):
        read_image(7)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files_decode_or_raise_image_error(data):
    original = data.draw(st.sampled_from([encoded(form=f) for f in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]))
    mutated = bytearray(original)
    for _ in range(data.draw(st.integers(1, 6))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(mutated)))
    try:
        image = read_image(bytes(mutated[:cut]))
    except ImageError:
        return
    assert image.ndim == 3 and image.dtype == np.uint8 and image.size > 0


@pytest.mark.parametrize(
    ("height", "width", "size", "padded"),
    [
        pytest.param(64, 96, None, (64, 96), id="multiples already"),
        pytest.param(30, 70, None, (32, 96), id="right and below"),
        pytest.param(30, 70, (128, 160), (128, 160), id="to one size"),
    ],
)
def test_inputs_hold_the_picture_and_what_the_mean_makes_zero(height, width, size, padded):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    planes, as_bytes = to_input(picture, 32, size), new_input(picture, 32, size, as_bytes=True)
    assert planes.shape == as_bytes.shape == (1, 3, *padded)
    assert (planes.dtype, as_bytes.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(planes, as_bytes)
    whole = as_bytes[0].transpose(1, 2, 0)
    assert whole.flags.c_contiguous, "in the order of a picture"
    np.testing.assert_array_equal(whole[:height, :width], picture)
    assert (whole[height:] == PAD_COLOUR).all() and (whole[:, width:] == PAD_COLOUR).all()
