"""`python -m shiwu.cli` is `shiwu`."""

from shiwu.cli.app import main

main()
