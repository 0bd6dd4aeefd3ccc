"""Soft filter pruning (He 2018) by geometric median (He 2019): zeroed after every so many steps, free to recover."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from featherface.atomic import write_text
from featherface.errors import ConfigError
from featherface.model.config import ModelConfig
from featherface.model.network import FeatherFace
from featherface.prune.config import PruneConfig
from featherface.prune.groups import Traced
from featherface.prune.identity import changed, soft_identity
from featherface.prune.surgery import doomed, makers, zero

Channels = dict[str, list[int]]
"""For each layer that decides a width, the channels that go (see `surgery.doomed`)."""


class SoftPruning:
    """Called after each training step; every `every` steps it zeroes the filters that `target` has no room for.

    Which these are is decided anew each time, so that a filter that has become important again stays. Step `last`
    zeroes in any case, so that a training ends with a choice; `keep` gets each one. Raises ConfigError when
    `target` is not the network's layout with fewer channels.
    """

    def __init__(
        self,
        target: ModelConfig,
        every: int,
        last: int = 0,
        keep: Callable[[Channels], None] = lambda _: None,
    ) -> None:
        self.target, self.every, self.last, self.keep = target, every, last, keep

    def __call__(self, model: FeatherFace, steps: int) -> None:
        """`steps` is how many the network has had."""
        if steps % self.every == 0 or steps == self.last:
            traced = Traced(model)
            chosen = doomed(traced, self.target)
            for name, channels in makers(traced, chosen):
                silence(model.get_submodule(name), channels)
            self.keep(chosen)


class SoftRecord:
    """What a checkpoint, which knows of training only, does not say: what is pruned towards, what was chosen last.

    A JSON file beside the checkpoint. The choice is made on the network in training, whose zeroed filters are zero.
    The moving average that is kept of it remembers what they were before, and might choose others.
    """

    def __init__(self, file: Path, recipe: PruneConfig) -> None:
        self.file = file
        self.recipe = soft_identity(recipe)

    def keep(self, chosen: Channels) -> None:
        """Write the file anew."""
        write_text(self.file, json.dumps({"recipe": self.recipe, "chosen": chosen}) + "\n")

    def forget(self) -> None:
        """Of a run that never got to a checkpoint."""
        self.file.unlink(missing_ok=True)

    def check(self) -> None:
        """ConfigError when the file is another recipe's. None is there before the first choice."""
        if found := changed(self._read().get("recipe", {}), self.recipe):
            raise ConfigError(f"{self.file}: belongs to another recipe; {', '.join(found)} changed")

    def chosen(self) -> Channels:
        """The last choice; empty when there was none."""
        chosen: Channels = self._read().get("chosen", {})
        return chosen

    def _read(self) -> dict[str, Any]:
        try:
            read = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.file}: not a record of soft pruning ({error})") from error
        if not isinstance(read, dict) or not all(isinstance(part, dict) for part in read.values()):
            raise ConfigError(f"{self.file}: not a record of soft pruning")
        return read


def silence(module: nn.Module, channels: list[int]) -> None:
    """Make these channels zero in a way that gradients can undo.

    A depthwise conv or a batch norm only hands on the zeros of the conv before it: were its weights zero too,
    neither would ever get a gradient again. Channels whose sum goes straight into a plain ReLU get none either way.
    """
    hands_on = isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.groups > 1)
    zero(module, channels, weight=not hands_on)
