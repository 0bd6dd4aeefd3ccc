"""What modules do on pictures, for surgery that is fitted to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


def mean_of(
    model: nn.Module,
    modules: Iterable[nn.Module],
    pictures: Sequence[Tensor],
    look: Callable[[Tensor, Tensor], Tensor],
) -> list[Tensor]:
    """For each of `modules`, inside `model`, the mean over `pictures` of what `look` makes of its input and output.

    `pictures`: the model's own inputs, (1, 3, H, W).
    """
    seen: list[list[Tensor]] = []
    handles = []
    for module in modules:
        found: list[Tensor] = []
        seen.append(found)

        def add(_: nn.Module, inputs: tuple[Tensor], output: Tensor, found: list[Tensor] = found) -> None:
            found.append(look(inputs[0], output))

        handles.append(module.register_forward_hook(add))
    with torch.no_grad():
        for picture in pictures:
            model(picture)
    for handle in handles:
        handle.remove()
    return [torch.stack(found).mean(0) for found in seen]
