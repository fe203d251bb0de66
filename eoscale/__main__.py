"""``python -m eoscale``: the command line."""

from eoscale.cli import main

main()
