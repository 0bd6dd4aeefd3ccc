"""Several processes that train one model (torchrun); every function also works in a single process."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(hours=6)
"""The first process validates alone, on the processor, while the others wait for it."""


def start() -> tuple[int, int]:
    """Join the process group that torchrun announces; returns (rank, number of processes)."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not torch.distributed.is_initialized():
        _stay_on_this_machine(processes)
        # Gradients live on the cards, the loss's counts on the processor: each kind of tensor has its backend.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    return (torch.distributed.get_rank(), processes) if processes > 1 else (0, 1)


def _stay_on_this_machine(processes: int) -> None:
    """Processes of one machine meet on its loopback; gloo would look up the host's name, which may lead nowhere."""
    if sys.platform == "linux" and os.environ.get("LOCAL_WORLD_SIZE") == str(processes):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def device() -> torch.device:
    """The card of this process on its machine (torchrun's LOCAL_RANK), or the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def stop() -> None:
    """Leave the process group."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def wrap(model: nn.Module) -> nn.Module:
    """The model with averaged gradients where there are several processes."""
    return DistributedDataParallel(model) if torch.distributed.is_initialized() else model


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes; DDP averages gradients, so sums are divided by this."""
    if torch.distributed.is_initialized():
        value = value.clone()
        torch.distributed.all_reduce(value)
        value /= torch.distributed.get_world_size()
    return value


def as_the_first(flag: bool) -> bool:
    """What the first process says; all must ask together."""
    if not torch.distributed.is_initialized():
        return flag
    said = torch.tensor(float(flag))
    torch.distributed.broadcast(said, 0)
    return bool(said > 0)


def agreed(flag: bool) -> bool:
    """Whether any process says so; all must ask together."""
    if not torch.distributed.is_initialized():
        return flag
    return bool(mean_over_processes(torch.tensor(float(flag))) > 0)
