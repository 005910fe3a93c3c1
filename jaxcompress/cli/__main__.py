"""`python -m jaxcompress.cli`, the same as the command `jaxcompress`."""

from jaxcompress.cli.command import main

if __name__ == "__main__":
    main()
