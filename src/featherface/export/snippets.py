"""The example that lies beside an exported file, in its runtime's own language, with the file's numbers in it."""

from __future__ import annotations

from pathlib import Path

from featherface.export.options import DEFAULT_SIZE, Options
from featherface.model.config import ModelConfig

_FOLDER = Path(__file__).parent / "templates"
_FIT_FIXED = """\
    const int rows = @HEIGHT@, columns = @WIDTH@;
    const double shrink = std::min({1.0, double(rows) / picture.rows, double(columns) / picture.cols});
    cv::resize(picture, picture, {}, shrink, shrink, cv::INTER_AREA);"""
_FIT_ANY = """\
    const int rows = (picture.rows + 31) / 32 * 32, columns = (picture.cols + 31) / 32 * 32;
    const double shrink = 1.0;"""


def write_snippet(path: Path, options: Options, config: ModelConfig) -> Path:
    """Write the example for the model file `path` beside it and return where it is."""
    source = _FOLDER / options.format.snippet
    kind = "nms" if options.with_nms else "decoded" if options.decodes else "raw"
    special = source.with_name(f"{source.stem}_{kind}{source.suffix}")
    text = (special if special.is_file() else source).read_text(encoding="utf-8")
    decode = _FOLDER / f"decode_{'boxes' if options.decodes else 'raw'}{source.suffix}"
    if decode.is_file():
        text = text.replace("@DECODE@\n", decode.read_text(encoding="utf-8"))
    text = text.replace("@FIT@", _FIT_ANY if options.input_size is None else _FIT_FIXED)
    for key, value in _values(path, options, config).items():
        text = text.replace(f"@{key}@", str(value))
    target = path.with_name(f"{path.name}.example{source.suffix}")
    target.write_text(text, encoding="utf-8")
    return target


def _values(path: Path, options: Options, config: ModelConfig) -> dict[str, object]:
    height, width = options.input_size or DEFAULT_SIZE
    each = len(config.prior_sizes[0])
    sizes = [", ".join(str(side) for side in level) for level in config.prior_sizes]
    cells = sum((height // s) * (width // s) for s in config.strides)
    return {
        "MODEL": path.name,
        "BIN": path.with_suffix(".bin").name,
        "HEIGHT": height,
        "WIDTH": width,
        "PRIORS": cells * each if options.input_size else _counted(config.strides, each),
        "SCORE": options.score_threshold,
        "IOU": options.iou_threshold,
        "STRIDES": ", ".join(str(stride) for stride in config.strides),
        "SIZES": ", ".join(f"{{{level}}}" for level in sizes),
        "KT_SIZES": ", ".join(f"intArrayOf({level})" for level in sizes),
        "SWIFT_SIZES": ", ".join(f"[{level}]" for level in sizes),
        "CENTRE": config.variances[0],
        "LOG_SIZE": config.variances[1],
        "BOXES": "boxes" if options.decodes else "box_deltas",
        "LANDMARKS": "landmarks" if options.decodes else "landmark_deltas",
    }


def _counted(strides: tuple[int, ...], each: int) -> str:
    """The number of priors of a picture whose rows and columns are known when the example runs."""
    return f"size_t({each}) * ({' + '.join(f'(rows / {s}) * (columns / {s})' for s in strides)})"
