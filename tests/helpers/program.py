"""The command `jaxcompress`, run in this process."""

import re
from types import SimpleNamespace

from click.testing import CliRunner

from jaxcompress.cli import cli


def run(*words, status=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == status, (done.stdout, done.stderr)
    if status in (2, 3):
        assert re.fullmatch(r"jaxcompress: [^\n]+\n", done.stderr), done.stderr
        assert not done.stdout
    return SimpleNamespace(out=done.stdout, err=done.stderr)


def refused(*words, status=2):
    return run(*words, status=status).err
