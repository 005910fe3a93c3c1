"""Sentences of a small grammar, for networks that read: do all verbs agree with their subjects?

    S  -> NP VP
    NP -> the NOUN | the NOUN that VP | the NOUN that NP VERB
    VP -> VERB | VERB NP

In every other sentence a singular and a plural verb have changed places, so that neither agrees.
The words are the same: who counts them alone can but guess.
"""

from random import Random

import numpy as np

_NOUNS = "dog cat king girl".split()
_VERBS = "see hear like help".split()
WORDS = ("", "the", "that", *_NOUNS, *(f"{noun}s" for noun in _NOUNS))
WORDS = (*WORDS, *(f"{verb}s" for verb in _VERBS), *_VERBS)
"""The word of each token, those of one number together; 0 fills rows up."""

LENGTH = 16
"""Most words of a sentence."""

_THE, _THAT = 1, 2
_NOUNS_OF = [range(3, 7), range(7, 11)]  # singular, plural
_VERBS_OF = [range(11, 15), range(15, 19)]
_RELATIVE, _OBJECT = 0.5, 0.4  # how often a noun has a clause of its own, a verb an object


def sentences(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens `[count, LENGTH]` and labels `[count]`, 1 where all verbs agree; both int32.

    Args:
        count: how many.
        seed: of the random choices; equal seeds give equal sentences.
    """
    random = Random(seed)
    tokens, labels = np.zeros((count, LENGTH), np.int32), np.arange(count, dtype=np.int32) % 2
    for row, label in zip(tokens, labels, strict=True):
        sentence = _sentence(random)
        if not label:
            one, other = (
                random.choice([n for n, word in enumerate(sentence) if word in verbs])
                for verbs in _VERBS_OF
            )
            sentence[one], sentence[other] = sentence[other], sentence[one]
        row[: len(sentence)] = sentence
    return tokens, labels


def _sentence(random: Random) -> list[int]:
    """Return a sentence in which all verbs agree, some in the singular and some in the plural."""
    while True:
        plural, subject = _noun_phrase(random)
        sentence = [*subject, *_verb_phrase(random, plural)]
        both = all(any(word in verbs for word in sentence) for verbs in _VERBS_OF)
        if both and len(sentence) <= LENGTH:
            return sentence


def _noun_phrase(random: Random) -> tuple[int, list[int]]:
    """Return whether the noun is plural, and the phrase."""
    plural = random.randrange(2)
    phrase = [_THE, random.choice(_NOUNS_OF[plural])]
    if random.random() < _RELATIVE:
        if random.random() < 1 / 2:
            return plural, [*phrase, _THAT, *_verb_phrase(random, plural)]
        inner, subject = _noun_phrase(random)
        return plural, [*phrase, _THAT, *subject, random.choice(_VERBS_OF[inner])]
    return plural, phrase


def _verb_phrase(random: Random, plural: int) -> list[int]:
    objects = _noun_phrase(random)[1] if random.random() < _OBJECT else []
    return [random.choice(_VERBS_OF[plural]), *objects]
