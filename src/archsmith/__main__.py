"""`python -m archsmith`: the command line."""

from archsmith.cli import main

main()
