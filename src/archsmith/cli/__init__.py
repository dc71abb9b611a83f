"""The command line: what it takes, what it gives, and `archsmith doctor`."""

from archsmith.cli.app import main

__all__ = ["main"]
