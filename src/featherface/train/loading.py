"""Batches of training samples, loaded by processes of their own; a sample that cannot be made ends them in one line."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from featherface.errors import ConfigError, FeatherFaceError
from featherface.train.augment import Labels
from featherface.train.data import CropDataset, Sample


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, S, S) uint8 RGB and each one's faces."""

    images: Tensor
    labels: list[Labels]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack the crops; labels stay lists, because each crop has its own number of faces."""
    images = np.stack([s.image for s in samples]).transpose(0, 3, 1, 2)
    return Batch(torch.from_numpy(np.ascontiguousarray(images)), [s.labels for s in samples])


def load_batches(
    dataset: CropDataset,
    batch: int,
    first_step: int,
    steps: int,
    workers: int,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """Batches of steps [first_step, steps) for one of `processes` processes that share each batch.

    ConfigError at the call; then whatever a sample raises, such as ImageError for a picture that went missing.
    """
    if batch % processes:
        raise ConfigError(f"batch_size {batch} does not divide over {processes} processes")
    loader: DataLoader[Sample | FeatherFaceError] = DataLoader(
        _Caught(dataset),
        batch_size=batch // processes,
        sampler=_Range(first_step, steps, batch, rank, processes),
        num_workers=workers,
        collate_fn=_collate_or_error,
        prefetch_factor=3 if workers else None,
        # Forking a process whose OpenCV and OpenMP threads have run can leave the child waiting for ever.
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_begin_worker,
    )
    return _raised(loader)


def _raised(loaded: DataLoader[Sample | FeatherFaceError]) -> Iterator[Batch]:
    for batch in loaded:
        if isinstance(batch, FeatherFaceError):
            raise batch
        yield batch


class _Caught(Dataset["Sample | FeatherFaceError"]):
    """A dataset that returns what it would raise: from another process it would come as the text of a traceback."""

    def __init__(self, dataset: CropDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Sample | FeatherFaceError:
        try:
            return self.dataset[index]
        except FeatherFaceError as error:
            return error


def _collate_or_error(samples: Sequence[Sample | FeatherFaceError]) -> Batch | FeatherFaceError:
    errors = [s for s in samples if isinstance(s, FeatherFaceError)]
    return errors[0] if errors else collate([s for s in samples if isinstance(s, Sample)])


class _Range(Sampler[int]):
    """The numbers this process loads: its share of every batch, from the resumed step on."""

    def __init__(self, first_step: int, steps: int, batch: int, rank: int, processes: int) -> None:
        self.steps, self.batch = range(first_step, steps), batch
        self.share = batch // processes
        self.first = rank * self.share

    def __iter__(self) -> Iterator[int]:
        return (step * self.batch + self.first + i for step in self.steps for i in range(self.share))

    def __len__(self) -> int:
        return len(self.steps) * self.share


def _begin_worker(_: int) -> None:
    import cv2

    # torchrun passes SIGTERM on to everybody, a terminal Ctrl-C; the loop must still get the batch it waits for, to
    # stop cleanly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
