"""The text of manual pages, from the files of Debian packages."""

import gzip
import io
import re
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("manpages", "manpages-dev")

_HEAD = 60  # bytes in front of each member of a .deb, an `ar` archive
_FONTS = {"B", "I", "SM", "SB"}, {"BI", "BR", "IB", "IR", "RB", "RI"}
_SECTIONS, _BREAKS = {"SH", "SS"}, {"PP", "P", "LP", "TP", "TQ", "IP", "br", "sp", "EX", "nf"}
_SIGNS = {"aq": "'", "dq": '"', "lq": '"', "rq": '"', "cq": "'", "oq": "'", "bu": "*"}
_SIGNS |= {"em": "--", "en": "-", "ti": "~", "ha": "^", "rs": "\\", "mu": "x", "<=": "<="}
_ESCAPE = re.compile(r"\\(?:f(?:\(..|\[\w*\]|.)|s[-+]?\d+|\((..)|\[(\w+)\]|(.))")


def pages(folder: Path) -> dict[str, str]:
    """Return the text of each page, by name such as `man3/printf.3`, in order of names.

    Pages that only point to others are left out.

    Raises:
        FileNotFoundError: a package is not in the folder.
    """
    found = {}
    for package in PACKAGES:
        path = next(iter(sorted(folder.glob(f"{package}_*.deb"))), None)
        if path is None:
            raise FileNotFoundError(
                f"{folder}: must hold {package}_*.deb, got none; apt-get download {package} there."
            )
        for name, source in _sources(path.read_bytes()):
            if not re.search(r"^\.so ", source, re.MULTILINE):
                found[name] = plain(source)
    return {name: found[name] for name in sorted(found)}


def split(texts: dict[str, str]) -> dict[str, list[str]]:
    """Return pages to train on, to calibrate and choose with, and to judge by: 8, 1 and 1 of 10."""
    ends = {"train": slice(8), "validation": slice(8, 9), "test": slice(9, 10)}
    listed = [*texts.values()]
    return {
        part: [text for at, text in enumerate(listed) if at % 10 in range(10)[chosen]]
        for part, chosen in ends.items()
    }


def plain(source: str) -> str:
    r"""Return the text of a manual page without its requests and changes of font.

    Example:
        >>> plain('.SH NAME\n.BR printf (3)\nprints \\fIn\\fP bytes.')
        '\nNAME\nprintf(3)\nprints n bytes.\n'
    """
    return "".join(_lines(source))


def _lines(source: str) -> Iterator[str]:
    for line in source.splitlines():
        if line[:1] not in (".", "'"):
            yield _signs(line) + "\n"
            continue
        name, _, rest = line[1:].strip().partition(" ")
        words = _arguments(rest)
        if name in _SECTIONS:
            yield "\n" + _signs(" ".join(words)) + "\n"
        elif name in _FONTS[0] | _FONTS[1]:
            yield _signs(("" if name in _FONTS[1] else " ").join(words)) + "\n"
        elif name in _BREAKS:
            yield "\n" + (_signs(words[0]) + " " if name == "IP" and words else "")


def _arguments(rest: str) -> list[str]:
    """Return the words of a request: those in quotes together, escapes untouched."""
    lexer = shlex.shlex(rest, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters, lexer.quotes = True, "", "", '"'
    try:
        return [*lexer]
    except ValueError:  # a quote that nothing closes
        return rest.split()


def _signs(text: str) -> str:
    def sign(found: re.Match[str]) -> str:
        named, listed, one = found.groups()
        if one is not None:
            return {"-": "-", "e": "\\", " ": " ", "~": " "}.get(one, "")
        return _SIGNS.get(named or listed or "", "")

    text = text.split('\\"')[0]
    return _ESCAPE.sub(sign, text)


def _sources(deb: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and source of each page of a .deb."""
    with tarfile.open(fileobj=io.BytesIO(_content(deb))) as archive:
        for member in archive:
            match = re.fullmatch(r".*/man/(man\d/.+)\.gz", member.name)
            file = archive.extractfile(member) if match and member.isfile() else None
            if match and file:
                yield match[1], gzip.decompress(file.read()).decode(errors="replace")


def _content(deb: bytes) -> bytes:
    """Return the archive of the files that a .deb installs: a member of an `ar` archive."""
    at = len(b"!<arch>\n")
    while at < len(deb):
        name, size = deb[at : at + 16], int(deb[at + 48 : at + 58])
        at += _HEAD
        if name.startswith(b"data.tar"):
            return deb[at : at + size]
        at += size + size % 2
    raise ValueError("a package must have a member data.tar, got none; download it again.")
