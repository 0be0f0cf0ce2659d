"""``python -m ticklake`` is the command line."""

from ticklake.interfaces.cli.main import main

main()
