"""The published checkpoints give their stored outputs in our network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featherface.errors import ModelError
from featherface.model import count_parameters, published

CHECKPOINTS = {
    "featherface_v1_489015": 489_015,
    "featherface_v2_493095": 493_095,
    "featherface_v1_cbam_592371": 592_371,
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("picture", ["noise", "photo"])
def test_reproduces_stored_outputs(shared, name, picture):
    model = published.load(shared / "published" / f"{name}.pth")
    assert count_parameters(model) == CHECKPOINTS[name]
    stored = np.load(shared / "published" / f"{name}.npz")
    image = stored[f"{picture}_bgr_uint8"].astype(np.float32) - np.array([104, 117, 123], np.float32)
    with torch.no_grad():
        found = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    scores = found.class_logits.softmax(-1)[0, :, 1].numpy()
    assert np.abs(scores - stored[f"{picture}_scores"]).max() < 1e-5
    assert np.abs(found.box_deltas[0].numpy() - stored[f"{picture}_box_deltas"]).max() < 1e-3
    assert np.abs(found.landmark_deltas[0].numpy() - stored[f"{picture}_landmark_deltas"]).max() < 1e-3


@pytest.mark.shared
def test_a_checkpoint_that_fits_no_layout_names_what_differs(shared, tmp_path):
    state = torch.load(shared / "published" / "featherface_v1_489015.pth", weights_only=True)
    state["ssh1.conv3X3.0.regular_conv.weight"] = torch.zeros(28, 57, 3, 3)
    torch.save(state, tmp_path / "odd.pth")
    expected = r"odd\.pth: .*published_v1, .*context\.0\.conv3\.0\.regular_conv\.weight is \(28, 57, 3, 3\)"
    with pytest.raises(ModelError, match=expected):
        published.load(tmp_path / "odd.pth")


class _Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    torch.save({"weight": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match=r"evil\.pth"):
        published.load(tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02ta.", b"PK\x03\x04"])
def test_unreadable_files_are_named(tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.pth: not a readable checkpoint \(no tensors by name in it\)"):
        published.load(tmp_path / "bad.pth")


def test_a_folder_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"bad\.pth: .*directory"):
        (tmp_path / "bad.pth").mkdir()
        published.load(tmp_path / "bad.pth")
