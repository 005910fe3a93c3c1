"""Text from files: nothing of it reaches a terminal raw."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcompress.errors import ArtifactError
from jaxcompress.text import ascii_json, escaped, printable, shortened

STEERING = {
    "C0": "".join(map(chr, range(0x20))),
    "DEL": "\x7f",
    "C1": "".join(map(chr, range(0x80, 0xA0))),
    "bidi": "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c",
    "lines": "\u2028\u2029",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff",
    "surrogates": "\ud800\udbff\udc00\udfff",
    "tags": "\U000e0001\U000e0041",
}


@pytest.mark.parametrize("kind", STEERING)
def test_what_steers_a_terminal_is_escaped(kind):
    for letter in STEERING[kind]:
        shown = escaped(f"a{letter}b")
        assert shown.isascii() and shown.isprintable() and shown != f"a{letter}b"
        assert letter not in printable(letter) and letter not in shortened(letter)
        text = ascii_json({letter: [letter]})
        assert text.isascii() and text.isprintable()
        assert json.loads(text) == {letter: [letter]}


def test_what_people_read_stays():
    text = "größe [bold] 重み/кернел é 🙂"
    assert escaped(text) == printable(text) == shortened(text) == text


@given(st.text(st.characters()))
def test_all_text_becomes_one_printable_line(text):
    for shown in (escaped(text), printable(text), shortened(text, most=20)):
        assert shown.isprintable()
        shown.encode()
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    assert len(shortened(text, most=20)) <= 20


def test_a_message_keeps_its_lines_as_words():
    assert printable("two:\n  a\n\n  b\r\n") == "two: a b"
    assert printable("") == ""


def test_long_text_is_cut():
    assert shortened("a" * 100, most=10) == "aaaaaaa..."
    assert shortened("\x1b" * 3, most=10) == "\\x1b\\x1..."


def test_numbers_that_json_has_not_become_null():
    assert ascii_json({"a": [float("inf"), (1, float("nan"))]}) == '{"a": [null, [1, null]]}'


def test_a_bad_file_cannot_steer_a_terminal_by_its_error():
    steering = "".join(STEERING.values())
    error = ArtifactError(
        f"bad {steering}", file=f"m{steering}.npz", tensor=steering, expected=steering, found=[1]
    )
    assert str(error).isascii() and str(error).isprintable()
    assert error.tensor == steering  # for programs, as it is
    assert str(error.at(tensor="b")) == str(error)
    assert len(str(ArtifactError("bad", tensor="\x1b" * 10**6, found="a" * 10**6))) < 500
