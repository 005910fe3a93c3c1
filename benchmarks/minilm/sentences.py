"""English sentences from the prose of packages that every machine with the extra `run` has."""

import pydoc_data.topics
import re
from collections.abc import Iterable
from importlib.resources import files

import scipy.optimize
import scipy.signal
import scipy.stats

EVERYDAY = """\
The cat sits outside.
A man is playing the guitar.
A woman is playing the violin on a small stage.
The new movie is awesome.
The film that came out last week is wonderful.
The dog plays in the garden.
Two dogs are running across a field of grass.
Interest rates rose again in the third quarter.
The central bank raised rates to fight inflation.
How do I reset the password of my account?
I forgot my login and cannot get into my profile.
Photosynthesis turns light into chemical energy.
Plants make sugar out of water, air and sunlight.
The train to Berlin leaves at half past six.
When does the next bus to the airport depart?
She has published three books on medieval history.
The patient was given antibiotics after surgery.
A doctor prescribed medicine against the infection.
Quantum computers factor large numbers quickly.
Prime numbers have fascinated mathematicians for centuries.
Mix flour, eggs and milk, and fry the batter in a pan.
This recipe makes twelve thin pancakes.
The bridge was closed because of heavy snow.
Storms and ice shut many roads in the north.
The team won the final by three goals to one.
Our side lost the match in the last minute.
Parliament voted against the new tax law.
The contract ends on the thirty-first of December.
Whales are mammals that live in the sea.
The laptop's battery lasts about nine hours.
He painted the kitchen walls light blue.
Neural networks with fewer weights take less memory.""".splitlines()

_SENTENCE = re.compile(r"[A-Z][a-z]*\b[A-Za-z ,;()0-9'’-]+[.?]")


def calibration() -> list[str]:
    """Return sentences of Python's language reference, those of every other topic."""
    topics = pydoc_data.topics.topics
    return _unique(topics[name] for name in sorted(topics)[::2])


def validation() -> list[str]:
    """Return sentences of the other topics."""
    topics = pydoc_data.topics.topics
    return _unique(topics[name] for name in sorted(topics)[1::2])


def evaluation() -> list[str]:
    """Return sentences of other documents: scikit-learn's descriptions of data, scipy's functions.

    And 32 everyday ones, which stand first.
    """
    folder = files("sklearn.datasets.descr")
    pages = sorted(page.name for page in folder.iterdir() if page.name.endswith(".rst"))
    descriptions = _unique((folder / page).read_text() for page in pages)
    modules = (scipy.optimize, scipy.signal, scipy.stats)
    functions = (getattr(module, name) for module in modules for name in sorted(module.__all__))
    texts = _unique(function.__doc__ or "" for function in functions)
    return [*EVERYDAY, *descriptions, *texts[:: len(texts) // 192][:192]]


def _unique(texts: Iterable[str]) -> list[str]:
    """Return the sentences of plain words, each once, in the order of the texts."""
    paragraphs = (" ".join(part.split()) for text in texts for part in re.split(r"\n\s*\n", text))
    pieces = (piece for part in paragraphs for piece in re.split(r"(?<=[.?])\s+(?=[A-Z])", part))
    plain = (piece for piece in pieces if _SENTENCE.fullmatch(piece))
    return list(dict.fromkeys(piece for piece in plain if 6 <= len(piece.split()) <= 40))
