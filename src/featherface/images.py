"""Pictures as (H, W, 3) uint8 RGB arrays, turned as their EXIF says; resizing and padding for the network."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

# OpenCV reads these once, when it is loaded. Its log would repeat every ImageError in its own words.
_LIMIT = os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(300_000_000))
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from featherface.errors import ImageError, reason_of  # noqa: E402
from featherface.image_headers import avif_turn, declared_size, is_truncated  # noqa: E402

MAX_PIXELS = int(_LIMIT) if _LIMIT.isdecimal() else 300_000_000
"""A file may not unpack into more pixels; the environment variable OPENCV_IO_MAX_IMAGE_PIXELS sets it."""

Image = NDArray[np.uint8]
Input = NDArray[np.float32] | NDArray[np.uint8]
"""What a network reads, (B, 3, H, W), RGB 0-255: see `input_in`."""
ImageSource = str | os.PathLike[str] | bytes | NDArray[np.uint8] | Any
"""A path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 array."""

PAD_COLOUR = (123, 117, 104)
"""RGB that the network's normalisation turns into zero."""

PAD_MULTIPLE = 32
"""The networks' largest stride: sides of what goes into them are multiples of it."""

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".ppm", ".pgm"}
)


def read_image(source: ImageSource, *, bgr: bool = False) -> Image:
    """The picture as (H, W, 3) uint8 RGB: EXIF turned, first frame, 8 bit, without alpha.

    `bgr` says that an array is in OpenCV's order. Raises ImageError, which names the input, for anything
    that is not a whole picture: missing, unreadable, empty, truncated, over MAX_PIXELS, wrong dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source, bgr)
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_image(bytes(source), "bytes")
    if isinstance(source, str | os.PathLike):
        return decode_image(_read_bytes(Path(source)), str(source))
    if hasattr(source, "convert") and hasattr(source, "getexif"):
        return _from_pil(source)
    raise ImageError(f"cannot read a picture from a {type(source).__name__}")


def decode_image(data: bytes, name: str) -> Image:
    """The picture in a file's bytes; `name` is what errors call it."""
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes")
    width, height = declared_size(data) or (0, 0)
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}x{height} is more than {MAX_PIXELS:,} pixels")
    if is_truncated(data):
        raise ImageError(f"{name}: truncated, the picture's end is missing")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"{name}: cannot be decoded ({error.err})") from error
    if image is None or image.size == 0:
        reason = "truncated or damaged" if width else "not a picture that can be decoded"
        raise ImageError(f"{name}: {reason}")
    return _turn_avif(np.asarray(image, np.uint8), data)


def resize(image: Image, width: int, height: int) -> Image:
    """The picture at another size: by area when it shrinks, linear when it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = width < image.shape[1] or height < image.shape[0]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=mode), np.uint8)


def to_input(image: Image, multiple: int, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """The network's input (1, 3, H, W): float RGB 0-255, padded right and below to the multiple.

    Or to `size` (height, width), which the picture must not exceed.
    """
    images = np.empty(input_shape(image, multiple, size), np.float32)
    fill_input(images, image)
    return images


def new_input(image: Image, multiple: int, size: tuple[int, int] | None, as_bytes: bool) -> Input:
    """As `to_input`, or `as_bytes` (see `input_in`)."""
    images = empty_input(input_shape(image, multiple, size), as_bytes)
    fill_input(images, image)
    return images


def filled(side: int, multiple: int = PAD_MULTIPLE) -> int:
    """The length that padding makes of a side: the next multiple, or what it is."""
    return -(-side // multiple) * multiple


def input_shape(
    image: Image, multiple: int, size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """The shape (1, 3, H, W) of the input that `to_input` makes."""
    height, width = size or (filled(side, multiple) for side in image.shape[:2])
    return 1, 3, height, width


def input_nbytes(shape: tuple[int, int, int, int], as_bytes: bool) -> int:
    """How much memory an input of this shape takes."""
    return math.prod(shape) * (1 if as_bytes else 4)


def empty_input(shape: tuple[int, int, int, int], as_bytes: bool) -> Input:
    """An input in memory of its own."""
    return input_in(np.empty(input_nbytes(shape, as_bytes), np.uint8), shape, as_bytes)


def input_in(memory: NDArray[np.uint8], shape: tuple[int, int, int, int], as_bytes: bool) -> Input:
    """An input (1, 3, H, W) in `memory`, whose length is `input_nbytes`; not yet filled.

    float32, plane by plane; or `as_bytes`, uint8 and in the order of a picture, a pixel's channels next to each other.
    """
    if not as_bytes:
        return memory.view(np.float32).reshape(shape)
    batch, channels, height, width = shape
    return memory.reshape(batch, height, width, channels).transpose(0, 3, 1, 2)


def fill_input(images: Input, image: Image) -> None:
    """Write the picture into `images` (see `input_in`), which may be used again and again."""
    height, width = image.shape[:2]
    if images.dtype == np.uint8:
        whole = images[0].transpose(1, 2, 0)
        whole[:height, :width] = image
        whole[height:] = whole[:height, width:] = PAD_COLOUR
        return
    for channel, colour in enumerate(PAD_COLOUR):
        plane = images[0, channel]
        plane[:height, :width] = cv2.extractChannel(image, channel)
        plane[height:] = colour
        plane[:height, width:] = colour


def encode_image(image: Image, suffix: str) -> bytes:
    """The file content of an RGB picture in the format of `suffix`; ImageError when there is no such format."""
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ImageError(f"cannot write pictures as {suffix!r}") from error
    if not done:
        raise ImageError(f"cannot write this picture as {suffix!r}")
    return data.tobytes()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {reason_of(error)}") from error
    except ValueError as error:
        raise ImageError(f"{str(path)!r}: not a path ({error})") from error


def _turn_avif(image: Image, data: bytes) -> Image:
    # OpenCV turns every format but this one.
    turns, axis = avif_turn(data)
    turned = np.rot90(image, turns)
    return np.ascontiguousarray(turned if axis is None else np.flip(turned, axis))


def _checked_array(array: NDArray[Any], bgr: bool) -> Image:
    if array.dtype != np.uint8:
        raise ImageError(f"array of dtype {array.dtype}; a picture is uint8, 0 to 255")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"array of shape {array.shape}; a picture is (height, width, 3)")
    if array.size == 0:
        raise ImageError(f"array of shape {array.shape} holds no pixels")
    return np.ascontiguousarray(array[..., ::-1] if bgr else array)


def _from_pil(picture: Any) -> Image:
    """A PIL image without importing PIL: modes and EXIF turn are its own business, done by its methods."""
    try:
        picture.load()  # first: some of its formats turn themselves while they load
        turned = _pil_turn(picture)
        if turned.mode.startswith("I"):
            deep = np.asarray(turned).astype(np.int64) >> 8
            return np.repeat(deep.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
        return _checked_array(np.asarray(turned.convert("RGB")), bgr=False)
    except ImageError:
        raise
    except Exception as error:  # its decoders raise what they like: struct.error, SyntaxError, IndexError
        raise ImageError(f"PIL image: {error or type(error).__name__}") from error


def _pil_turn(picture: Any) -> Any:
    # EXIF orientation to PIL's Transpose members, by number.
    steps = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    step = steps.get(picture.getexif().get(0x0112, 1))
    return picture if step is None else picture.transpose(step)
