"""Features: textures by hand, edges, known geometry, circles of hue, and any picture at all."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nets.fruits_fusion import BRANCHES
from pipelines.features import (
    VECTOR_SIZES,
    colour,
    edges,
    extract,
    foreground,
    shape,
    texture,
)

CLOCKWISE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
RED, GREEN = (255, 0, 0), (0, 255, 0)


def white(size=100):
    return np.full((size, size, 3), 255, np.uint8)


def disc(colour_=RED, size=100, radius=30):
    centre = (size // 2, size // 2)
    return cv2.circle(white(size), centre, radius, colour_, cv2.FILLED)


def rectangle(left, top, width, height, size=100):
    picture = white(size)
    picture[top : top + height, left : left + width] = (40, 120, 40)
    return picture


def leaf(x=30, y=40, size=100):
    """An object without any symmetry."""
    points = np.array([[0, 0], [22, -12], [45, 3], [38, 20], [14, 9], [9, 33]], np.int32)
    return cv2.fillPoly(white(size), [points + (x, y)], (90, 60, 30))


def noise(count=3, size=100, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def measured(picture):
    objects = foreground.objects(picture[None])
    vector = shape.vectors(objects.contours, picture.shape[:2])[0]
    return dict(zip(shape.NAMES, vector, strict=True))


def coloured(picture):
    vector = colour.vectors(picture[None], foreground.objects(picture[None]).masks)[0]
    return dict(zip(colour.NAMES, vector, strict=True))


def histogram(measures, kind, bins):
    return np.array([measures[f"{kind}_{number}"] for number in range(bins)])


def hu(measures):
    return np.array([measures[f"hu_{number}"] for number in range(1, 8)])


def same(one, other):
    assert list(one) == list(other) == list(BRANCHES)
    return all(np.array_equal(one[name], other[name]) for name in BRANCHES)


def by_loops(grey):
    result = np.zeros_like(grey)
    _, height, width = grey.shape
    for place, row, column in np.ndindex(*grey.shape):
        for bit, (down, right) in enumerate(CLOCKWISE):
            y = min(max(row + down, 0), height - 1)
            x = min(max(column + right, 0), width - 1)
            if grey[place, y, x] >= grey[place, row, column]:
                result[place, row, column] |= 1 << bit
    return result


def test_the_first_bit_is_the_top_left_and_the_others_follow_clockwise():
    grey = np.zeros((8, 3, 3), np.uint8)
    grey[:, 1, 1] = 7
    for bit, (row, column) in enumerate(CLOCKWISE):
        grey[bit, 1 + row, 1 + column] = 7
    np.testing.assert_array_equal(texture.codes(grey)[:, 1, 1], 1 << np.arange(8))


def test_patterns_by_hand():
    grey = np.array([[[6, 5, 2], [7, 6, 1], [9, 8, 7]]], np.uint8)
    by_hand = [[[243, 227, 207], [240, 241, 255], [224, 224, 248]]]
    np.testing.assert_array_equal(texture.codes(grey), by_hand)
    rising = np.tile(np.arange(4, dtype=np.uint8), (1, 4, 1))  # all but the left is as bright
    np.testing.assert_array_equal(texture.codes(rising), [[[255, 62, 62, 62]] * 4])


def test_patterns_equal_those_of_plain_loops():
    rng = np.random.default_rng(0)
    for most in (3, 256):  # many ties, and few
        grey = rng.integers(0, most, (3, 9, 14)).astype(np.uint8)
        np.testing.assert_array_equal(texture.codes(grey), by_loops(grey))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_picture_has_every_bit(level):
    assert np.all(texture.codes(np.full((2, 9, 14), level, np.uint8)) == 255)


def test_the_kernel_meets_one_shape_whatever_the_batch(monkeypatch):
    kernel, shapes = texture._kernel(), set()

    def recorded(grey):
        shapes.add(grey.shape)
        return kernel(grey)

    monkeypatch.setattr(texture, "_kernel", lambda: recorded)
    grey = noise(130, 9)[..., 0]
    whole = texture.codes(grey)
    for count in (0, 1, 64, 65):
        np.testing.assert_array_equal(texture.codes(grey[:count]), whole[:count])
    assert shapes == {(64, 9, 9)}


def test_edges_are_those_of_opencv():
    square = rectangle(20, 30, 40, 40)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    found = edges.maps(np.stack([grey, np.full_like(grey, 255)]))
    direct = cv2.Canny(cv2.GaussianBlur(grey, (3, 3), 0), 40, 120)
    np.testing.assert_array_equal(found[0], direct)
    assert set(np.unique(found[0])) == {0, 255}
    inside = np.zeros_like(grey)
    inside[32:68, 22:58] = 1
    assert 140 < np.count_nonzero(found[0]) < 180 and not np.any(found[0] * inside)
    assert not np.any(found[1])


def test_edges_begin_at_a_step_of_forty_levels():
    grey = np.full((2, 20, 20), 200, np.uint8)
    grey[0, :, 10:] -= 38
    grey[1, :, 10:] -= 42
    assert [bool(np.any(found)) for found in edges.maps(grey)] == [False, True]


def test_the_mask_is_the_largest_object_filled():
    picture = rectangle(20, 30, 40, 50)
    picture[40:50, 30:40] = 255  # a highlight
    picture[5:10, 5:10] = 0  # dirt
    picture[90, 50] = 236  # a ripple
    (mask,), (contour,) = foreground.objects(picture[None])
    expected = np.zeros((100, 100), np.uint8)
    expected[30:80, 20:60] = 255
    np.testing.assert_array_equal(mask, expected)
    assert contour is not None and cv2.contourArea(contour) == 39 * 49


def test_white_has_no_object_and_other_grounds_are_objects():
    pictures = np.stack([white(), np.zeros_like(white()), noise(1)[0], rectangle(0, 0, 100, 100)])
    pictures[3, 0, :35] = 255  # of the 396 pixels of its border: less than a tenth
    masks, contours = foreground.objects(pictures)
    assert contours[0] is None and not np.any(masks[0])
    assert np.all(masks[1:] == 255)
    ground = measured(pictures[1])
    for name in ("area", "perimeter", "solidity", "aspect_ratio", "extent"):
        assert ground[name] == 1


def test_an_object_may_touch_the_border():
    for width in (60, 99):
        masks, _ = foreground.objects(rectangle(0, 0, width, 100)[None])
        assert np.count_nonzero(masks) == width * 100


def test_measures_of_a_disc():
    measures = measured(disc(radius=40))
    assert measures["area"] == pytest.approx(np.pi * 40**2 / 99**2, rel=0.03)
    assert measures["perimeter"] == pytest.approx(np.pi * 80 / (4 * 99), rel=0.08)
    assert 0.87 < measures["circularity"] <= 1
    assert measures["solidity"] > 0.98
    assert measures["aspect_ratio"] == pytest.approx(1, abs=0.01)
    assert measures["extent"] == pytest.approx(np.pi / 4, rel=0.03)
    assert measures["hu_1"] == pytest.approx(10 - np.log10(2 * np.pi), rel=0.01)  # h = 1 / (2 pi)


def test_measures_of_a_square_and_of_a_rectangle():
    square = measured(rectangle(20, 30, 41, 41))
    assert square["area"] == pytest.approx(40**2 / 99**2)
    assert square["perimeter"] == pytest.approx(160 / (4 * 99))
    assert square["circularity"] == pytest.approx(np.pi / 4)
    assert [square[name] for name in ("solidity", "aspect_ratio", "extent")] == [1, 1, 1]
    assert square["hu_1"] == pytest.approx(10 - np.log10(6))  # h = 2 / 12
    np.testing.assert_array_equal(hu(square)[1:], 0)
    double = measured(rectangle(20, 30, 41, 21))
    assert double["aspect_ratio"] == pytest.approx(0.5)
    assert [double[name] for name in ("solidity", "extent")] == [1, 1]


def test_the_aspect_ratio_is_that_of_a_turned_rectangle():
    corners = cv2.boxPoints(((50, 50), (60, 30), 30)).astype(np.int32)
    measures = measured(cv2.fillPoly(white(), [corners], RED))
    assert measures["aspect_ratio"] == pytest.approx(0.5, abs=0.02)
    assert measures["extent"] < 0.7


def test_hu_moments_equal_a_direct_computation():
    picture = leaf()
    mask = np.any(picture < 255, axis=-1).astype(np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    moments = cv2.HuMoments(cv2.moments(found[0])).ravel()
    expected = np.where(
        np.abs(moments) > 1e-10, np.sign(moments) * np.log10(np.abs(moments) / 1e-10), 0
    )
    np.testing.assert_allclose(hu(measured(picture)), expected, rtol=1e-5)
    assert np.count_nonzero(expected) >= 6


def test_hu_moments_stay_when_the_object_moves_turns_or_grows():
    still = hu(measured(leaf()))
    for picture in (leaf(10, 20), *(np.rot90(leaf(), turns).copy() for turns in (1, 2, 3))):
        np.testing.assert_allclose(hu(measured(picture)), still, rtol=1e-4)
    grown = cv2.resize(leaf(), (400, 400), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(hu(measured(grown))[:4], still[:4], rtol=0.05)


def test_a_mirror_changes_the_sign_of_the_last_hu_moment_only():
    plain, mirrored = hu(measured(leaf())), hu(measured(leaf()[:, ::-1].copy()))
    np.testing.assert_allclose(mirrored[:6], plain[:6], rtol=1e-4)
    assert abs(plain[6]) == pytest.approx(abs(mirrored[6]), rel=1e-4)
    assert np.sign(plain[6]) == -np.sign(mirrored[6])


def test_colours_of_a_red_disc():
    measures = coloured(disc(RED))
    np.testing.assert_array_equal(histogram(measures, "hue", 16), np.eye(16)[0])
    np.testing.assert_array_equal(histogram(measures, "saturation", 8), np.eye(8)[7])
    np.testing.assert_array_equal(histogram(measures, "value", 8), np.eye(8)[7])
    rest = [measures[name] for name in colour.NAMES[32:]]
    np.testing.assert_array_equal(rest, [1, 0, 0, 1, 0, 1, 0])


def test_hues_on_both_sides_of_red_are_neighbours():
    picture = rectangle(20, 20, 40, 40)
    picture[20:60, 20:40] = RED
    picture[20:60, 40:60] = (255, 0, 8)  # OpenCV's hue 179
    measures = coloured(picture)
    expected = (np.eye(16)[0] + np.eye(16)[15]) / 2
    np.testing.assert_array_equal(histogram(measures, "hue", 16), expected)
    assert measures["hue_cosine"] > 0.999
    assert abs(measures["hue_sine"]) < 0.02
    assert measures["hue_deviation"] == pytest.approx(np.pi / 180, rel=0.01)  # 1 degree each way


def test_opposite_hues_deviate_most():
    picture = rectangle(20, 20, 40, 40)
    picture[20:60, 20:40], picture[20:60, 40:60] = RED, (0, 255, 255)
    assert coloured(picture)["hue_deviation"] == pytest.approx(np.sqrt(2))


def test_colours_equal_a_direct_computation():
    on_disc = (disc() != 255).any(-1, keepdims=True)
    picture = np.where(on_disc, noise(1)[0], np.uint8(255))
    measures = coloured(picture)
    (mask,) = foreground.objects(picture[None]).masks
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[mask > 0].astype(np.float64)
    for channel, (kind, bins, most) in enumerate(
        [("hue", 16, 180), ("saturation", 8, 256), ("value", 8, 256)]
    ):
        counts, _ = np.histogram(hsv[:, channel], bins, (0, most))
        np.testing.assert_allclose(histogram(measures, kind, bins), counts / len(hsv), rtol=1e-6)
    angles = np.exp(1j * np.deg2rad(2 * hsv[:, 0])).mean()
    assert measures["hue_cosine"] == pytest.approx(angles.real)
    assert measures["hue_sine"] == pytest.approx(angles.imag)
    assert measures["hue_deviation"] == pytest.approx(np.sqrt(2 - 2 * abs(angles)))
    for channel, kind in ((1, "saturation"), (2, "value")):
        assert measures[f"{kind}_mean"] == pytest.approx(hsv[:, channel].mean() / 255)
        assert measures[f"{kind}_deviation"] == pytest.approx(hsv[:, channel].std() / 255)


def check(found, count, side):
    """Hold for any picture whatever."""
    assert tuple(found) == BRANCHES
    for name, channels in (("picture", 3), ("texture", 1), ("edges", 1)):
        assert found[name].shape == (count, side, side, channels)
        assert found[name].dtype == np.uint8
    for name, size in VECTOR_SIZES.items():
        assert found[name].shape == (count, size) and found[name].dtype == np.float32
        assert np.all(np.isfinite(found[name])) and np.all(np.abs(found[name]) <= 10)
    assert np.all(found["shape"][:, :6] >= 0)
    relative = np.delete(found["shape"][:, :6], 1, axis=1)  # all but the perimeter
    assert np.all(relative <= 1)
    for part in np.split(found["colour"][:, :32], [16, 24], axis=1):
        np.testing.assert_array_less(np.abs(part.sum(1) * (part.sum(1) - 1)), 1e-5)  # 0 or 1
    assert np.all(np.abs(found["colour"]) <= np.float32(np.sqrt(2)))


def dot(size):
    picture = white(size)
    picture[size // 2, size // 3] = 0
    return picture


def line(size):
    picture = white(size)
    np.einsum("iic->ic", picture)[1:-1] = 0
    return picture


@pytest.mark.parametrize("size", [8, 100])
def test_any_picture_has_finite_features(size):
    kinds = [
        white(size),
        np.zeros_like(white(size)),
        dot(size),
        line(size),
        rectangle(1, 1, 2, 5, size),
    ]
    speckled = np.where(noise(1, size) < 40, np.uint8(0), np.uint8(255))
    pictures = np.concatenate([np.stack(kinds), noise(2, size), speckled])
    found = extract(pictures, size)
    check(found, len(pictures), size)
    assert not np.any(found["shape"][0]) and not np.any(found["colour"][0])
    assert np.any(found["colour"][1:], axis=1).all()
    np.testing.assert_array_equal(found["picture"], pictures)


@pytest.mark.parametrize("shape_", [(8, 9), (37, 21), (1000, 1000)])
def test_any_size_will_do(shape_):
    picture = cv2.resize(leaf(), shape_[::-1], interpolation=cv2.INTER_NEAREST)
    check(extract(picture[None], 32), 1, 32)


def test_images_are_shrunk_by_areas_from_full_size():
    pictures = np.stack([leaf(), disc()])
    full, half = extract(pictures, 100), extract(pictures, 50)
    for name in ("picture", "texture", "edges"):
        blocks = full[name].reshape(2, 50, 2, 50, 2, -1).mean((2, 4))
        assert np.max(np.abs(half[name] - blocks)) <= 0.5
    for name in VECTOR_SIZES:
        np.testing.assert_array_equal(full[name], half[name])


def test_no_pictures_have_no_features():
    check(extract(np.zeros((0, 100, 100, 3), np.uint8), 64), 0, 64)


def test_a_picture_has_the_same_features_in_any_batch():
    pictures = np.concatenate([[leaf(), disc(), white(), disc(GREEN)], noise(66)])
    whole = extract(pictures, 64)
    for part in (slice(0, 1), slice(1, 4), slice(2, 70), slice(69, 70)):
        assert same(extract(pictures[part], 64), {name: x[part] for name, x in whole.items()})
    backwards = {name: x[::-1] for name, x in whole.items()}
    assert same(extract(pictures[::-1], 64), backwards)


@pytest.mark.slow
def test_threads_find_what_one_finds():
    chunks = [np.concatenate([[leaf(10 + 3 * n)], noise(20, seed=n), [disc()]]) for n in range(12)]
    serial = [extract(chunk, 64) for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda chunk: extract(chunk, 64), chunks))
    assert all(same(one, other) for one, other in zip(serial, parallel, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, (2, 8, 8, 3), elements=st.integers(0, 255)),
    arrays(np.bool_, (2, 8, 8, 1)),
    st.sampled_from([3, 8, 11]),
)
def test_all_pictures_have_finite_bounded_features(pictures, on_object, side):
    check(extract(pictures, side), 2, side)
    check(extract(np.where(on_object, pictures, np.uint8(255)), side), 2, side)


def test_errors_name_the_remedy():
    with pytest.raises(TypeError, match="uint8, got float64; scale"):
        extract(np.zeros((1, 8, 8, 3)), 8)
    with pytest.raises(ValueError, match=r"got \[8, 8, 3\]; a single picture needs a batch axis"):
        extract(white(8), 8)
    with pytest.raises(ValueError, match="side must be at least 1 pixel, got 0"):
        extract(white(8)[None], 0)
