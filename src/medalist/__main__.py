"""`python -m medalist`."""

from .cli import main

main()
