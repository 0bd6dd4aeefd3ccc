"""The errors that featherface raises on purpose; their text is one line that names the input.

Every command catches `FeatherFaceError`, prints its text and exits with a code other than 0; anything
else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class FeatherFaceError(Exception):
    """Base of all expected failures."""


class ImageError(FeatherFaceError):
    """A picture that cannot be read or has the wrong shape, dtype or values."""


class VideoError(FeatherFaceError):
    """A video or camera that cannot be read, or a video that cannot be written."""


class ModelError(FeatherFaceError):
    """A model file that is missing, corrupt, foreign, or does not match its checksum."""


class ConfigError(FeatherFaceError):
    """A setting or config file with an unknown key, a wrong type or a value out of range."""


class DataError(FeatherFaceError):
    """A label, prediction or ground-truth file that does not say what its format says it should."""


class MissingExtraError(FeatherFaceError):
    """An optional part of featherface that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; this needs the {extra} extra: pip install 'featherface[{extra}]'"
        )


class TrainingError(FeatherFaceError):
    """A training that cannot go on: a loss that is not a number, or a checkpoint that does not fit."""


def one_line(error: BaseException, most: int = 200) -> str:
    """The first line of what an error of others says, or its type's name, for a line of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


def reason_of(error: BaseException) -> str:
    """What the system says of a file or an address, such as "permission denied"; else what the error itself says."""
    said = getattr(error, "strerror", None)
    return said.lower() if isinstance(said, str) and said else one_line(error)
