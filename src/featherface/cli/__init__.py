"""The `featherface` command. Each module of this package adds its commands to the application."""

from featherface.cli.app import main

__all__ = ["main"]
