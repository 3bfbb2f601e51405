"""The command line: ``genbounds demo | certify | compress | prompt | verify | curve | theorems``."""

from genbounds.cli.app import main

__all__ = ["main"]
