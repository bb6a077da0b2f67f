"""`python -m paymux`."""

from paymux.cli import main

main()
