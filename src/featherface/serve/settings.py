"""What the service allows."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass

from featherface.errors import ConfigError

# The largest picture, mirrored and at a second size; or a smaller one with much more.
_PASSES = 4
_BODIES = 10
_FOREVER = 1_000_000
"""Seconds, eleven days: no system's locks and clocks fail to wait that long, as some do from seven weeks on."""


@dataclass(frozen=True)
class Settings:
    """Model and limits of a service. ConfigError for values that make no sense."""

    model: str = "v2"
    max_bytes: int = 20_000_000
    """Of one request's body."""
    max_pixels: int = 50_000_000
    """Of one picture, enlarged as the request asks."""
    pixels_at_once: int = 0
    """Of all pictures that are looked at side by side, which bounds the memory; 0 means as `max_pixels`."""
    max_images: int = 32
    """In one request."""
    max_requests: int = 32
    """In hand at a time; more are told to come back."""
    max_connections: int = 512
    """Open at a time in one process; more are told to come back."""
    timeout: float = 30.0
    """Seconds for the body to arrive, again for its pictures to be looked at, and again for the answer to be taken."""
    cores: int = 0
    """Pictures looked at side by side, each on one thread; 0 means one a core."""
    token: str | None = None
    """When given, every request under /v1 must bear it."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_images", "max_requests", "max_connections", "timeout"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be over 0")
        if not self.timeout <= _FOREVER:  # neither is NaN
            raise ConfigError(f"timeout = {self.timeout}: must be a number of at most {_FOREVER:,}")
        if self.pixels_at_once and self.pixels_at_once < self.max_pixels:
            message = f"must be 0 or at least max_pixels = {self.max_pixels}"
            raise ConfigError(f"pixels_at_once = {self.pixels_at_once}: {message}")
        if self.cores < 0:
            raise ConfigError(f"cores = {self.cores}: must be at least 0")
        if self.token is not None and not self.token:
            raise ConfigError("the token is empty")
        if self.token is not None and not self.token.isprintable():
            raise ConfigError("the token holds characters that no header can carry")

    @property
    def lanes(self) -> int:
        """How many pictures are looked at side by side."""
        return self.cores or os.cpu_count() or 1

    @property
    def budget(self) -> int:
        """Pixels in work at one time, in all lanes."""
        return self.pixels_at_once or self.max_pixels

    @property
    def most_passes(self) -> int:
        """Pixels that the network may see for one picture, in all sizes, mirrored, and in all tiles."""
        return _PASSES * self.max_pixels

    @property
    def most_bytes(self) -> int:
        """Of all bodies that are being read or in hand, and of all answers that were not taken yet."""
        return _BODIES * self.max_bytes

    @property
    def longest(self) -> int:
        """Seconds after which every request has ended: its body, its pictures, its answer, and a little."""
        return math.ceil(3 * self.timeout) + 5

    def to_json(self) -> str:
        """For the environment of worker processes; without the token, because an environment is no place for it."""
        values = dataclasses.asdict(self)
        del values["token"]
        return json.dumps(values)

    @staticmethod
    def from_json(text: str, token: str | None) -> Settings:
        """The inverse of `to_json`."""
        return Settings(**json.loads(text), token=token)
