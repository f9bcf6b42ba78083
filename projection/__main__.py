"""`python -m projection` is the command `projection`."""

from projection.cli.main import main

main()
