"""`python -m ottla.faust -A MODULE worker`."""

from ottla.faust.commands import main

main()
