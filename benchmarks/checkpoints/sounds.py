"""Sounds that are made: notes, and something like speech."""

import numpy as np
from scipy.signal import lfilter

VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
"""Formants in Hz of a, i, u, e, o (Peterson and Barney 1952)."""


def note(hertz: float, seconds: float, rate: int) -> np.ndarray:
    """Return a note of eight overtones, each weaker than the last, that dies away slowly."""
    time = np.arange(round(seconds * rate)) / rate
    parts = (0.7**k * np.sin(2 * np.pi * k * hertz * time + k) for k in range(1, 9))
    found = sum(parts) * np.exp(-time / seconds)
    return (0.3 * found / np.abs(found).max()).astype(np.float32)


def speech(voice: int, seconds: float, rate: int = 16000) -> np.ndarray:
    """Return syllables of a voice: pulses through the formants of vowels, hisses, and pauses.

    Args:
        voice: its pitch and the length of its throat follow from the number, its words too.
        seconds: how long.
        rate: samples a second.
    """
    random = np.random.default_rng(voice)
    pitch, throat = 90 * 2 ** (voice % 7 / 4), 0.85 + 0.06 * (voice % 6)
    found = []
    while sum(map(len, found)) < seconds * rate:
        count = round(random.uniform(0.1, 0.3) * rate)
        curve = pitch * (1 + 0.15 * np.sin(np.linspace(0, random.uniform(1, 3), count)))
        phase = np.cumsum(curve / rate)
        pulses = np.diff(np.floor(phase), prepend=0.0) + 0.01 * random.standard_normal(count)
        syllable = pulses
        for formant in VOWELS[random.integers(len(VOWELS))]:
            syllable = _resonated(syllable, formant / throat, 90, rate)
        envelope = np.sin(np.linspace(0, np.pi, count)) ** 0.5
        hiss = np.diff(random.standard_normal(round(0.06 * rate)), prepend=0.0)
        pause = np.zeros(round(random.choice((0.02, 0.05, 0.4)) * rate))
        found += [0.02 * hiss, 0.25 * envelope * syllable / np.abs(syllable).max(), pause]
    return np.concatenate(found)[: round(seconds * rate)].astype(np.float32)


def _resonated(sound: np.ndarray, hertz: float, width: float, rate: int) -> np.ndarray:
    radius = np.exp(-np.pi * width / rate)
    feedback = [1, -2 * radius * np.cos(2 * np.pi * hertz / rate), radius**2]
    return np.asarray(lfilter([1 - radius], feedback, sound))


def spectra(sound: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Return magnitudes, `[frames, window // 2 + 1]`."""
    starts = range(0, len(sound) - window + 1, hop)
    frames = np.stack([sound[start : start + window] for start in starts])
    return np.abs(np.fft.rfft(frames * np.hanning(window)))


def bands(edges: np.ndarray, window: int, rate: int) -> np.ndarray:
    """Return triangles between neighbouring edges in Hz, `[window // 2 + 1, edges - 2]`."""
    at = np.fft.rfftfreq(window, 1 / rate)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    up, down = (at - low) / (middle - low), (high - at) / (high - middle)
    return np.maximum(0, np.minimum(up, down)) * 2 / (high - low)


def mel_edges(count: int, highest: float) -> np.ndarray:
    """Return edges in Hz that are equally far apart in mel, of so many bands."""
    top = 2595 * np.log10(1 + highest / 700)
    return 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
