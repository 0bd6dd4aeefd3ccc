"""A progress bar on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int | None, unit: str | None = None) -> Iterator[Callable[[], None]]:
    """Shows how far `total` things are, how many `unit` a second when there is one, and the time left.

    Yields the function that counts one; safe to call from threads.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = [TextColumn("{task.fields[rate]:5.1f} " + f"{unit}/s")] if unit else []
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), *rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, rate=0.0)

        def advance() -> None:
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed or 0.0
            progress.update(task, advance=1, rate=speed)

        yield advance


@contextmanager
def frames_bar(title: str, total: int | None, quiet: bool) -> Iterator[Callable[[], None]]:
    """`bar` for the frames of a video; nothing when `quiet`."""
    if quiet:
        yield lambda: None
        return
    with bar(title, total, "frames") as advance:
        yield advance
