"""Variations of training images: shifts by hand, mirrors, nothing else."""

import numpy as np

from pipelines.data import load
from pipelines.data.augment import shifted, shifted_and_mirrored, unchanged


def images(count=40):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 5, 3)).astype(np.uint8)


def every_shift(image):
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return [padded[r : r + 6, c : c + 5].tobytes() for r in range(5) for c in range(5)]


def test_each_image_is_one_of_its_own_shifts():
    before = images()
    after = shifted(np.random.default_rng(1), before)
    assert after.shape == before.shape and after.dtype == np.uint8
    chosen = [every_shift(b).index(a.tobytes()) for a, b in zip(after, before, strict=True)]
    assert len(set(chosen)) > 10


def test_about_half_are_mirrored():
    before = images(200)
    after = shifted_and_mirrored(np.random.default_rng(1), before)
    mirrored = [a[:, ::-1].tobytes() in every_shift(b) for a, b in zip(after, before, strict=True)]
    plain = [a.tobytes() in every_shift(b) for a, b in zip(after, before, strict=True)]
    assert all(m != p for m, p in zip(mirrored, plain, strict=True))
    assert 70 < sum(mirrored) < 130


def test_the_generator_alone_decides():
    same = [shifted(np.random.default_rng(seed), images()).tobytes() for seed in (3, 3, 4)]
    assert same[0] == same[1] != same[2]
    assert unchanged(np.random.default_rng(0), images()) is not None


def test_digits_are_shifted_but_never_mirrored():
    assert load("digits").augment is shifted
