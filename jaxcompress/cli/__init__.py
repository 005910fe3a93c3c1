"""The command `jaxcompress`."""
