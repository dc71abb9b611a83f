"""`python -m archsmith`: the command line."""

from archsmith.cli.app import main

main()
