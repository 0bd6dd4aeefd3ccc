"""Small networks with weights that react to pictures, and the trained one as files of other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from featherface.export.export import export_model
from featherface.export.options import Options, find_format
from featherface.model import PRESETS, ModelConfig, build
from featherface.model.weights import load_weights
from featherface.zoo import WEIGHTS


def small(**changes):
    layout = {
        "name": "small",
        "width": 16,  # the least that CBAM can reduce
        "neck_cells": 1,
        "backbone_attention": "cbam",
        "neck_attention": "coordinate",
        "context": "plain",
        "shuffle": "block",
        "downsample": "clipped",
        "backbone_widths": ((8, 8, 8, 8, 16, 16), (16,), (16,)),
    }
    return without_faces(ModelConfig(**{**layout, **changes}))


def without_faces(config):
    torch.manual_seed(0)
    model = build(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.1, 1.0)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    for head in model.heads:  # no faces: among hundreds of random boxes suppression is a matter of rounding
        head.classes.bias.data[0::2] += 8
    return model


@pytest.fixture(scope="session")
def plain():
    """Everything V2 has or had, with few channels."""
    return small(refine=True, context_inputs=(8, 0, 0))


@pytest.fixture(scope="session")
def deformable():
    """What V1 has, with offsets that are not zero."""
    model = small(name="bent", context="deformable", neck_attention="cbam", shuffle="channel")
    for name, parameter in model.named_parameters():
        if "offset_conv.weight" in name:
            torch.nn.init.normal_(parameter, 0, 0.02)
    return model


@pytest.fixture(scope="session")
def untrained_v1():
    """The paper's layout; its weights were never published."""
    return without_faces(PRESETS["v1"])


@pytest.fixture(scope="session")
def v2():
    return load_weights(WEIGHTS / "v2.safetensors")


@pytest.fixture(scope="session")
def v2_files(tmp_path_factory: pytest.TempPathFactory, v2) -> dict[str, Path]:
    """V2 as files of the runtimes that are installed here."""
    folder, files = tmp_path_factory.mktemp("v2"), {}
    for name, module, size in (("openvino", "openvino", None), ("ncnn", "pnnx", (512, 512))):
        try:
            __import__(module)
        except ImportError:
            continue
        options = Options(find_format(name), input_size=size)
        files[name] = export_model(v2, "v2", folder, options).model
    return files
