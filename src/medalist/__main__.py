"""Runs the command line with `python -m medalist`."""

from .cli import main

main()
