"""English sentences from the prose of packages that every machine with the extra `run` has."""

import importlib
import inspect
import itertools
import pydoc_data.topics
import random
import re
import warnings
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

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


_MODULES = (
    "argparse asyncio calendar codecs collections configparser contextlib csv datetime decimal "
    "difflib email.message fractions ftplib gettext html http.client imaplib inspect ipaddress "
    "itertools json logging mailbox math multiprocessing os pathlib pickle random re sched shutil "
    "smtplib socket statistics string subprocess tarfile tempfile textwrap threading typing "
    "unittest urllib.request uuid warnings wave xml.dom zipfile "
    "numpy numpy.fft numpy.linalg numpy.random jax.lax jax.nn jax.numpy optax flax.nnx"
).split()


def calibration() -> list[str]:
    """Return sentences of several kinds of documents, shuffled.

    Python's language reference, those of every other topic; the docstrings of its library, numpy,
    JAX, optax and Flax. None is one of the others.
    """
    topics = pydoc_data.topics.topics
    reference = (topics[name] for name in sorted(topics)[::2])
    others = {*validation(), *evaluation()}
    found = [s for s in _unique(itertools.chain(reference, _docstrings())) if s not in others]
    return random.Random(0).sample(found, len(found))


def _docstrings() -> Iterator[str]:
    """Yield the docstrings of the modules, their functions, classes and methods."""
    for name in _MODULES:
        module = importlib.import_module(name)
        for member in [module, *(getattr(module, key) for key in sorted(module.__dir__()))]:
            methods = vars(member) if inspect.isclass(member) else {}
            own = [member, *(methods[key] for key in sorted(methods) if key[0] != "_")]
            yield from (inspect.cleandoc(each.__doc__) for each in own if _is_text(each))


def _is_text(value: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return isinstance(getattr(value, "__doc__", None), str)


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
