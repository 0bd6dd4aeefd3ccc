"""SSH's two wide 3x3 convs through fewer channels, nearly the same function.

A 1x1 conv to fewer channels, then the 3x3 convs from those: the factors of lowest error are the leading singular
vectors of the weights times the square root of the inputs' second moments, so that what the map never shows costs
nothing (Zhang 2016, "Accelerating Very Deep Convolutional Networks for Classification and Detection", section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from featherface.errors import ModelError
from featherface.model.config import ModelConfig
from featherface.model.fold import affine_of
from featherface.model.heads import SSH
from featherface.model.network import FeatherFace, build
from featherface.model.observe import mean_of

_RIDGE = 1e-6


def with_low_rank(source: FeatherFace, config: ModelConfig, pictures: Sequence[Tensor]) -> FeatherFace:
    """`source` with the `context_inputs` of `config`, in eval mode.

    `pictures`: normalised inputs (1, 3, H, W) on which the maps are seen; two dozen are enough. Raises ModelError
    where the source's wide convs have fewer channels already, or are deformable.
    """
    model = build(config).eval()
    kept = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("context.")}
    model.load_state_dict({**model.state_dict(), **kept})
    levels = zip(
        source.context, model.context, source.config.context_inputs, config.context_inputs, strict=True
    )
    moments = mean_of(source, source.context, pictures, _second_moment)
    for (theirs, ours, before, after), moment in zip(levels, moments, strict=True):
        assert isinstance(theirs, SSH) and isinstance(ours, SSH)
        if before == after:
            ours.load_state_dict(theirs.state_dict())
        elif before or config.context != "plain":
            raise ModelError(
                f"{source.config.name} cannot become {config.name}: context_inputs is "
                f"{source.config.context_inputs}, not {config.context_inputs}"
            )
        else:
            _factorise(theirs, ours, moment)
    return model


def _second_moment(x: Tensor, _: Tensor) -> Tensor:
    """(C, C): the products of all pairs of channels, meaned over the places of a map (B, C, H, W)."""
    places = x.transpose(0, 1).flatten(1).double()
    return places @ places.T / places.shape[1]


def _factorise(theirs: SSH, ours: SSH, moment: Tensor) -> None:
    ours.load_state_dict({**ours.state_dict(), **_small_ones(theirs)})
    wide = [(getattr(theirs, name), getattr(ours, name)) for name in ("conv3", "conv5_1")]
    # Each output counts by its size after batch norm; what that makes zero, as masks do, may be of any size.
    scales = torch.cat([affine_of(block[1])[0] for block, _ in wide]).double().view(-1, 1, 1, 1)
    scales = scales.where(scales != 0, 1.0)
    weights = torch.cat([block[0].weight for block, _ in wide]).detach().double() * scales
    outputs, inputs = weights.shape[:2]
    values, vectors = torch.linalg.eigh(moment)
    roots = values.clamp(min=_RIDGE * float(values[-1])).sqrt()
    root, inverse = vectors * roots @ vectors.T, vectors / roots @ vectors.T
    rows = weights.permute(0, 2, 3, 1).reshape(-1, inputs) @ root
    left, strength, right = torch.linalg.svd(rows, full_matrices=False)
    rank = ours.reduce.get_parameter("weight").shape[0]
    first = right[:rank] @ inverse  # its channels are of one size, which int8 likes
    second = (left * strength)[:, :rank].reshape(outputs, 3, 3, rank).permute(0, 3, 1, 2) / scales
    with torch.no_grad():
        ours.reduce.get_parameter("weight").copy_(first[:, :, None, None])
        for part, (_, block) in zip(second.split([b[0].out_channels for b, _ in wide]), wide, strict=True):
            block[0].weight.copy_(part)


def _small_ones(ssh: SSH) -> dict[str, Tensor]:
    """All tensors but the weights of the two convs that read the map."""
    return {k: v for k, v in ssh.state_dict().items() if k not in ("conv3.0.weight", "conv5_1.0.weight")}
