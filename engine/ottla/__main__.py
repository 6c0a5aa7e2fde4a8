"""`python -m ottla` is `ottla`."""

from ottla.commands import main

if __name__ == "__main__":
    main()
