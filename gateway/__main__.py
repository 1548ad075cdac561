"""`python -m gateway` is `fieldgate`."""

from gateway.cli import main

main()
