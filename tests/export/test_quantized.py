"""The network in int8 for OpenVINO: idle it is the network itself, and what rounds is int8 in the runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.export.conftest import small
from torch.nn import functional as F

from featherface.export.calibration import batches
from featherface.export.equalise import equalised
from featherface.export.export import export_model
from featherface.export.fake_quant import QuantConv, Rounding, calibrate, share, weight_steps
from featherface.export.options import Options, find_format
from featherface.export.portable import Portable
from featherface.export.quantized import QuantizedNetwork
from featherface.export.quantized_neck import _cheap_swish
from featherface.images import new_input
from featherface.runtime import open_session

LAYOUTS = [
    pytest.param({}, id="all that V2 has"),
    pytest.param({"refine": True, "neck_cells": 3}, id="refinements, three cells"),
    pytest.param({"backbone_attention": "relu", "neck_attention": "none"}, id="no attention"),
    pytest.param({"neck_attention": "cbam", "shuffle": "channel"}, id="CBAM twice, a shuffle in the heads"),
    pytest.param({"shuffle": "channel", "refine": True}, id="a shuffle that stays"),
    pytest.param({"head_attention": "coordinate_shared", "shuffle": "none"}, id="attention before the heads"),
    pytest.param({"refine": True, "refine_p3": False}, id="two refinements"),
    pytest.param({"context_inputs": (8, 0, 4), "refine": True}, id="fewer inputs for SSH"),
    pytest.param({"downsample": "zero_padded"}, id="pooled against zeros"),
    pytest.param(
        {"refine": True, "backbone_widths": ((16, 8, 8, 16, 16), (16,), (16,))}, id="no block at stride 2"
    ),
]


@pytest.mark.parametrize("changes", LAYOUTS)
def test_before_it_rounds_it_is_the_network(changes):
    model = small(**changes)
    images = torch.rand(2, 3, 64, 96) * 255
    for ours, theirs in zip(QuantizedNetwork(model)(images), Portable(model)(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_sums_within_convs_end_in_the_swish_itself():
    """One kernel with the conv, and exact; where maps are summed outside of one the polynomial is the quicker."""
    network = QuantizedNetwork(small(neck_cells=3), cheap_swish=True)
    cheap = [
        [fusion.swish is _cheap_swish for fusion in (cell.middle, cell.p3, cell.p4, cell.p5)]
        for cell in network.neck.cells
    ]
    assert cheap == [[False, False, True, True], [True] * 4, [True] * 4]


def test_the_cheap_swish_is_near():
    x = torch.linspace(-12, 12, 4801)
    assert (_cheap_swish(x) - F.silu(x)).abs().max() < 0.027


RANGES = [
    pytest.param(False, None, [-1.0, 4.0], (5 / 255, 51, 0, 255), id="with a zero point"),
    pytest.param(True, None, [-1.0, 4.0], (4 / 127, 0, -128, 127), id="symmetric"),
    pytest.param(
        False, None, [2.0, 4.0], (4 / 255, 0, 0, 255), id="zero is always a level: convs pad with it"
    ),
    pytest.param(False, (0.0, 255.0), [3.0], (1.0, 0, 0, 255), id="a range that is known"),
]


@pytest.mark.parametrize(("signed", "fixed", "seen", "grid"), RANGES)
def test_ranges(signed, fixed, seen, grid):
    rounding = Rounding(signed, fixed)
    calibrate(rounding, [np.array(seen, np.float32)])
    assert rounding.grid() == pytest.approx(grid)
    assert rounding(torch.tensor([0.0])) == 0


STEPS = [
    pytest.param([[127.0]], 1.0, id="one channel: nothing to add"),
    pytest.param([[127.0, -127.0]], 1.0, id="neighbours of two signs"),
    pytest.param([[127.0, 0.0, 127.0, 0.0]], 1.0, id="not neighbours"),
    pytest.param([[0.0, 127.0, 127.0]], 1.0, id="neighbours, but of two pairs"),
    pytest.param([[127.0, 127.0]], 2.0, id="a pair of one sign would overflow"),
    pytest.param([[1.0, 0.0, -127.0, -127.0]], 2.0, id="the same below zero"),
    pytest.param([[127.0, 127.0], [127.0, 0.0]], [2.0, 1.0], id="each output channel by itself"),
    pytest.param([[0.0, 0.0]], 1e-10, id="no weights"),
]


@pytest.mark.parametrize(("weight", "steps"), STEPS)
def test_steps_of_weights(weight, steps):
    found = weight_steps(torch.tensor(weight)[:, :, None, None])
    assert found.numpy() == pytest.approx(np.broadcast_to(steps, len(weight)), rel=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_no_two_products_saturate_16_bits(channels):
    """What vpmaddubsw adds, without VNNI: 255 times one weight and 255 times its neighbour."""
    weight = torch.randn(64, channels, 3, 3, generator=torch.Generator().manual_seed(0)).abs()
    whole = (weight / weight_steps(weight)[:, None, None, None]).round()
    pairs = F.pad(whole, (0, 0, 0, 0, 0, channels % 2)).unflatten(1, (-1, 2)).sum(2)
    assert 255 * int(pairs.max()) < 2**15
    assert int(pairs.max()) >= 126  # and no more precision goes than has to


def test_what_is_concatenated_has_one_range():
    one, other = Rounding(), Rounding()
    share(one, other)
    one.state = other.state = "watching"
    one(torch.tensor([2.0])), other(torch.tensor([8.0]))
    assert one.grid() == other.grid() == pytest.approx((8 / 255, 0, 0, 255))


@pytest.mark.parametrize(("floats", "stays"), [((), 0), (("heads",), 9), (("backbone.stage1", "heads"), 20)])
def test_layers_stay_float(floats, stays, plain):
    network = QuantizedNetwork(plain, floats)
    calibrate(network, [np.zeros((1, 3, 64, 64), np.float32)])
    convs = [m for m in network.modules() if isinstance(m, QuantConv)]
    assert sum(conv.state == "float" for conv in convs) == stays
    assert {conv.state for conv in convs} <= {"float", "rounding"}


@pytest.mark.parametrize("size", [None, (64, 96)])
@pytest.mark.long
def test_openvino_runs_its_convs_in_int8(size, plain, examples, tmp_path):
    openvino = pytest.importorskip("openvino")
    options = Options(find_format("openvino"), size, "int8", calibration=examples, calibration_images=2)
    done = export_model(plain, "small", tmp_path, options, needs_faces=False)
    compiled = openvino.Core().compile_model(done.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    compiled([np.zeros((1, 64, 96, 3), np.uint8)])
    about = [
        {key: str(value.value) for key, value in operation.get_rt_info().items()}
        for operation in compiled.get_runtime_model().get_ordered_ops()
    ]
    kernels = [info["primitiveType"] for info in about if info["layerType"] == "Convolution"]
    network = QuantizedNetwork(plain)
    assert (
        sum("I8" in kernel.upper() for kernel in kernels)
        >= sum(isinstance(m, QuantConv) for m in network.modules()) - 3
    )
    if size is not None:  # else it cannot know that it needs no turning
        assert not any(info["layerType"] == "Transpose" for info in about), "pixels are turned"
    pools = [info for info in about if info["layerType"] == "Pooling"]
    assert pools and all("f32" not in pool["outputPrecisions"] for pool in pools)


@pytest.mark.long
def test_openvino_says_what_the_simulation_says(plain, examples, tmp_path):
    pytest.importorskip("openvino")
    options = Options(find_format("openvino"), precision="int8", calibration=examples, calibration_images=2)
    done = export_model(plain, "small", tmp_path, options, needs_faces=False)
    network = QuantizedNetwork(equalised(plain, batches(options)))
    calibrate(network, batches(options))
    images = next(iter(batches(options)))
    session = open_session(done.model, threads=1)
    assert session.spec.as_bytes
    picture = images[0].transpose(1, 2, 0).astype(np.uint8)
    found, same = session.run(images), session.run(new_input(picture, 32, None, as_bytes=True))
    for i, expected in enumerate(network(torch.from_numpy(images))):
        np.testing.assert_array_equal(found[i], same[i])
        assert np.abs(found[i] - expected.numpy()).mean() < 0.02 * float(expected.std()) + 1e-4
