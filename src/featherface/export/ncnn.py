"""ncnn, converted by pnnx from the traced torch network."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from featherface.errors import ModelError
from featherface.export.check import Run
from featherface.export.options import Options
from featherface.export.portable import portable, trace
from featherface.export.torchvision_op import with_torchvision_op
from featherface.export.versions import require
from featherface.model.network import FeatherFace

_TIMEOUT_S = 600


def check_installed(options: Options) -> None:
    """MissingExtraError or ModelError when what this needs is not there."""
    require("ncnn", "ncnn", "1.0.20250503")
    require("pnnx", "ncnn-export", "20250503")


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the .param and the .bin beside it."""
    import pnnx

    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "net.pt"
        trace(with_torchvision_op(portable(model, options)), options).save(str(traced))
        if options.input_size is None:
            shapes = ["inputshape=[1,3,640,640]", "inputshape2=[1,3,320,416]"]
        else:
            shapes = ["inputshape=[1,3,{},{}]".format(*options.input_size)]
        command = [pnnx.EXEC_PATH, str(traced), *shapes, f"fp16={int(options.precision == 'fp16')}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
        made = [traced.with_suffix(f".ncnn{suffix}") for suffix in (".param", ".bin")]
        if done.returncode or not all(path.is_file() for path in made):
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise ModelError(f"pnnx cannot convert this network ({lines[-1][:160]})")
        target.write_bytes(made[0].read_bytes())
        target.with_suffix(".bin").write_bytes(made[1].read_bytes())


def runner(path: Path, options: Options) -> Run:
    """The file in ncnn, one thread: with more it crawls in a process that also holds torch."""
    if not options.decodes:
        from featherface.runtimes.ncnn import NcnnSession

        return NcnnSession(path, threads=1).run
    import ncnn

    from featherface.runtimes.ncnn import INPUT, OUTPUTS

    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = False
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise ModelError(f"ncnn {ncnn.__version__} cannot load what pnnx wrote")

    def run(images: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(images[0]))
        return tuple(np.array(extractor.extract(name)[1])[None] for name in OUTPUTS)

    return run
