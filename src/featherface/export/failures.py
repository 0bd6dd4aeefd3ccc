"""What converters and runtimes raise, as one line of ours: they fail with whatever their depths hold."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import FeatherFaceError, ModelError, one_line
from featherface.export.check import Run
from featherface.export.options import Format
from featherface.export.reference import Arrays
from featherface.runtimes.versions import import_failure

_MOST = 160
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What only writing fails with, named file or not."""


@contextmanager
def converting(kind: Format, folder: Path) -> Iterator[None]:
    """ModelError for what a converter raises; an OSError of a file in `folder`, where it writes, stays one."""
    try:
        yield
    except FeatherFaceError:
        raise
    except MemoryError as error:
        raise out_of_memory(kind, "converting") from error
    except ImportError as error:
        raise import_failure(error, _package(error, kind), kind.extra) from error
    except OSError as error:
        if _is_of(error, folder):
            raise
        raise ModelError(f"{kind.runtime}: its converter cannot be run ({one_line(error, _MOST)})") from error
    except Exception as error:
        raise ModelError(
            f"{kind.runtime}: its converter fails on this network ({one_line(error, _MOST)})"
        ) from error


def open_runner(converter: Any, path: Path, options: Any) -> Run:
    """The exported file in its runtime; ModelError when that cannot load it, or later cannot run it."""
    kind: Format = options.format

    def cannot(do: str, error: Exception) -> ModelError:
        return ModelError(f"{kind.runtime} cannot {do} what was exported ({one_line(error, _MOST)})")

    try:
        inner: Run = converter.runner(path, options)
    except FeatherFaceError:
        raise
    except MemoryError as error:
        raise out_of_memory(kind, "loading what was exported") from error
    except ImportError as error:
        raise import_failure(error, _package(error, kind), kind.extra) from error
    except Exception as error:  # ONNX Runtime's errors share no base class but this
        raise cannot("load", error) from error

    def run(images: NDArray[np.float32]) -> Arrays:
        try:
            return inner(images)
        except FeatherFaceError:
            raise
        except MemoryError as error:
            raise out_of_memory(kind, "running what was exported") from error
        except Exception as error:
            raise cannot("run", error) from error

    return run


def out_of_memory(kind: Format, doing: str) -> ModelError:
    """Without memory there is nothing to say but where it ran out."""
    return ModelError(f"{kind.runtime}: memory ran out while {doing}; nothing was written")


def _package(error: ImportError, kind: Format) -> str:
    return error.name.split(".")[0] if error.name else kind.runtime


def _is_of(error: OSError, folder: Path) -> bool:
    """Whether the error says that the file to be written cannot be, not that something else is wrong."""
    if error.filename is None:
        return error.errno in _FULL
    return Path(str(error.filename)).resolve().is_relative_to(folder.resolve())
