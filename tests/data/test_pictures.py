"""Pictures of every kind become squares; what is no whole picture is refused in one line."""

import io
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.dataset import DataError
from pipelines.data.pictures import Unreadable, read_picture
from tests.helpers import archives

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def saved(path, image, **options):
    """Writes a Pillow image, or an array, in the format of the suffix."""
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def photo(side=100, seed=0):
    """Something smooth enough for any format, and different everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR)


def png_chunks(width, height, *, depth=8, colour=2, chunks=(), rows=b""):
    """A PNG written by hand, so that it can be of kinds that Pillow does not write."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    inside = b"".join(chunk(kind, content) for kind, content in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + (chunk(b"IHDR", header) + inside)
        + (chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    )


def refusal(path, side=4):
    with pytest.raises(Unreadable) as caught:
        read_picture(path, side)
    message = str(caught.value)
    assert isinstance(caught.value, DataError)
    assert "\n" not in message and message == f"{path}: {caught.value.reason}"
    return caught.value.reason


# Kinds of pixels


def test_a_picture_of_the_wanted_size_keeps_every_pixel(tmp_path):
    pixels = archives.some(1, shape=(32, 32, 3))[0][0]
    (tmp_path / "a.png").write_bytes(archives.png(pixels))
    read = read_picture(tmp_path / "a.png", 32)
    assert read.dtype == np.uint8 and read.flags.c_contiguous
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "gif"])
def test_lossless_forms_agree(suffix, tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2], pixels[2:, :2], pixels[2:, 2:] = RED, GREEN, (1, 2, 3)
    path = saved(
        tmp_path / f"a.{suffix}", pixels, **({"lossless": True} if suffix == "webp" else {})
    )
    np.testing.assert_array_equal(read_picture(path, 4), pixels)


def test_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg", np.full((8, 8, 3), (200, 100, 50), np.uint8), quality=95)
    assert np.abs(read_picture(path, 8).astype(int) - (200, 100, 50)).max() <= 2


def test_the_content_counts_not_the_suffix(tmp_path):
    (tmp_path / "a.jpg").write_bytes(archives.png(np.full((4, 4, 3), RED, np.uint8)))
    assert (read_picture(tmp_path / "a.jpg", 4) == RED).all()


def test_grey_and_black_and_white(tmp_path):
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    read = read_picture(saved(tmp_path / "a.png", grey), 2)
    np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, axis=-1))
    path = saved(tmp_path / "b.png", Image.fromarray(np.array([[True, False]] * 2)))
    np.testing.assert_array_equal(read_picture(path, 2)[..., 0], [[255, 0]] * 2)


# 65535 is 255 times 257, so that 257 greys of 16 bits share one of 8.
DEEP = np.array([[0, 128, 129], [257, 32768, 65278], [65406, 65407, 65535]], np.uint16)
SHALLOW = [[0, 0, 1], [1, 128, 254], [254, 255, 255]]


@pytest.mark.parametrize("kind", ["png", "tif", "big-endian tif", "32 bits in a tif"])
def test_grey_of_16_bits_is_scaled_not_cut_off(kind, tmp_path):
    path = tmp_path / f"a.{kind[-3:]}"
    dtype = {"big-endian tif": ">u2", "32 bits in a tif": np.int32}.get(kind, np.uint16)
    read = read_picture(saved(path, DEEP.astype(dtype)), 3)
    assert read[..., 0].tolist() == SHALLOW and (read == read[..., :1]).all()


def test_grey_of_16_bits_with_a_transparent_value(tmp_path):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in DEEP)
    chunks = [(b"tRNS", struct.pack(">H", 257))]
    (tmp_path / "a.png").write_bytes(png_chunks(3, 3, depth=16, colour=0, chunks=chunks, rows=rows))
    read = read_picture(tmp_path / "a.png", 3)[..., 0].tolist()
    assert read == [[0, 0, 1], [255, 128, 254], [254, 255, 255]]


def test_greys_with_no_known_range(tmp_path):
    path = saved(tmp_path / "a.tif", np.full((2, 2), 70_000, np.int32))
    assert "greys must be in 0..65535, got 70000..70000" in refusal(path)
    path = saved(tmp_path / "b.tif", np.full((2, 2), 0.5, np.float32))
    assert "no known range" in refusal(path)


def test_palette_and_cmyk(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([*GREEN, *RED])
    assert (read_picture(saved(tmp_path / "a.png", image), 2) == RED).all()
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan: red
    assert np.abs(read_picture(saved(tmp_path / "a.jpg", image), 8).astype(int) - RED).max() <= 2


def test_transparency_is_composited_on_white(tmp_path):
    red = Image.fromarray(np.full((1, 3, 4), (*RED, 255), np.uint8))
    red.putalpha(Image.fromarray(np.array([[255, 0, 51]], np.uint8)))
    # 51 is a fifth: 4/5 of white shine through. The white rows are the padding.
    expected = [RED, WHITE, (255, 204, 204)]
    for mode, colours in {"RGBA": expected, "LA": [(76,) * 3, WHITE, (219,) * 3]}.items():
        read = read_picture(saved(tmp_path / f"{mode}.png", red.convert(mode)), 3)
        np.testing.assert_array_equal(read[1], colours)
        assert (read[[0, 2]] == 255).all()


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_entry_of_a_palette(suffix, tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image = image.convert("P")
    image.putpalette([*GREEN, *RED])
    read = read_picture(saved(tmp_path / f"a.{suffix}", image, transparency=0), 2)
    np.testing.assert_array_equal(read, [[WHITE, RED], [RED, WHITE]])


def test_transparency_by_bytes_of_a_palette(tmp_path):
    rows = b"\0\0\1" * 2
    chunks = [(b"PLTE", bytes([*GREEN, *RED])), (b"tRNS", bytes([51, 255]))]
    (tmp_path / "a.png").write_bytes(png_chunks(2, 2, colour=3, chunks=chunks, rows=rows))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 2), [[(204, 255, 204), RED]] * 2)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(suffix, orientation, tmp_path):
    # As EXIF has it: where the first row and the first column of the stored picture belong.
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8], upright[:8, 8:], upright[8:, :8] = 80, 160, 240
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),  # shown turned clockwise
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", np.repeat(stored[..., None], 3, axis=-1), exif=exif)
    assert np.abs(read_picture(path, 16)[..., 0].astype(int) - upright).max() <= 4


def test_damaged_exif_does_not_matter(tmp_path):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"
    path = saved(tmp_path / "a.png", np.full((4, 4, 3), RED, np.uint8), exif=exif)
    assert (read_picture(path, 4) == RED).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_of_several(suffix, tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert np.abs(read_picture(path, 4).astype(int) - RED).max() <= 2


# Sizes


def test_one_pixel_fills_the_square(tmp_path):
    (tmp_path / "a.png").write_bytes(archives.png(np.full((1, 1, 3), (9, 8, 7), np.uint8)))
    assert (read_picture(tmp_path / "a.png", 100) == (9, 8, 7)).all()


def test_enlarging_is_bilinear(tmp_path):
    pixels = np.repeat(np.array([[[0], [200]]] * 2, np.uint8), 3, axis=-1)
    (tmp_path / "a.png").write_bytes(archives.png(pixels))
    # Pixel centres 0.25, 0.75, 1.25, 1.75 between the centres 0.5 and 1.5 of the two.
    assert read_picture(tmp_path / "a.png", 4)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_shrinking_averages(tmp_path):
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, 1::2] = 200  # stripes of one pixel: half of each
    (tmp_path / "a.png").write_bytes(archives.png(pixels))
    assert (read_picture(tmp_path / "a.png", 100)[:, 1:-1] == 100).all()
    pixels[:, :200], pixels[:, 200:] = 0, 250
    (tmp_path / "a.png").write_bytes(archives.png(pixels))
    row = read_picture(tmp_path / "a.png", 100)[50, :, 0].astype(int)
    # An edge between two pixels stays there but for the soft edge of the window, and neither
    # side goes below 0 or beyond 250.
    assert (row[:49] == 0).all() and (row[51:] == 250).all()
    assert 0 < row[49] < 20 and row[50] == 250 - row[49]


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("edges", [(8, 4), (16, 8), (4, 2)])
def test_others_are_centred_on_a_white_square(edges, tall, tmp_path):
    pixels = np.full((edges[1], edges[0], 3), RED, np.uint8)
    (tmp_path / "a.png").write_bytes(archives.png(pixels.swapaxes(0, 1) if tall else pixels))
    read = read_picture(tmp_path / "a.png", 8)
    read = read.swapaxes(0, 1) if tall else read
    assert (read[2:6] == RED).all() and (read[:2] == 255).all() and (read[6:] == 255).all()


def test_a_thin_line_stays(tmp_path):
    (tmp_path / "a.png").write_bytes(archives.png(np.full((1, 5000, 3), RED, np.uint8)))
    read = read_picture(tmp_path / "a.png", 10)
    assert (read == RED).all(axis=-1).sum() == 10 and (read[4] == RED).all()


@pytest.mark.parametrize("edges", [(8_001, 8_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_decoding(edges, tmp_path):
    (tmp_path / "a.png").write_bytes(png_chunks(*edges))
    reason = refusal(tmp_path / "a.png")
    assert f"at most 64000000 pixels, got {edges[0] * edges[1]}" in reason


@pytest.mark.parametrize(
    "suffix, form", [("bmp", "<ii"), ("gif", "<HH"), ("jpg", ">HH"), ("tif", "<H")]
)
def test_the_size_counts_in_every_form(suffix, form, tmp_path):
    path = saved(tmp_path / f"a.{suffix}", Image.new("L", (777, 777), 50))
    honest, lying = (struct.pack(form, *[edge] * len(form[1:])) for edge in (777, 32767))
    path.write_bytes(path.read_bytes().replace(honest, lying))
    assert "pixels, got 1073676289" in refusal(path)


@pytest.mark.slow
def test_64_million_pixels_are_allowed(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("1", (8_000, 8_000), 1), compress_level=1)
    assert (read_picture(path, 2) == 255).all()


# What must be refused


def test_not_a_file(tmp_path):
    assert "does not exist; pass" in refusal(tmp_path / "nothing.png")
    assert "is no file; pass" in refusal(tmp_path)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert "does not exist" in refusal(tmp_path / "loop.png")


def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "is no file" in refusal(tmp_path / "pipe.png")


def test_no_permission(tmp_path, monkeypatch):
    def forbid(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.png").write_bytes(b"anything")
    monkeypatch.setattr(Path, "open", forbid)  # permissions do not bind root
    assert refusal(tmp_path / "a.png").startswith("cannot be read (Permission denied); replace")


@pytest.mark.parametrize(
    "content",
    [b"hello", b"<svg/>", b"%PDF-1.7", b"\0" * 100, b"\xff\xd8", b"%!PS", b"P6 1 1 255\n"],
)
def test_other_files(content, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    assert refusal(tmp_path / "a.jpg").startswith(
        "is no JPEG, PNG, BMP, GIF, WebP or TIFF; replace"
    )


def test_an_empty_file(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg").startswith("is empty; replace")


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF", b"II*\0", b"MM\0*"]
)
def test_only_the_start_of_a_picture(start, tmp_path):
    for rest in (b"", b"\0" * 200, b"\xff" * 200, bytes(range(200))):
        (tmp_path / "a").write_bytes(start + rest)
        assert refusal(tmp_path / "a")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
def test_a_truncated_picture_is_refused_or_whole(suffix, tmp_path):
    path = saved(tmp_path / f"a.{suffix}", photo(40))
    content, whole, refused = path.read_bytes(), read_picture(path, 40), 0
    last = range(len(content) - 20, len(content))
    ends = sorted({*range(0, len(content), max(1, len(content) // 120)), *last})
    for end in ends:
        path.write_bytes(content[:end])
        try:
            np.testing.assert_array_equal(read_picture(path, 40), whole, err_msg=f"{end} bytes")
        except Unreadable:
            refused += 1
    assert refused >= len(ends) - 20


def test_a_truncated_progressive_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg", photo(64), progressive=True)
    content = path.read_bytes()
    for share in (0.3, 0.6, 0.9, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        assert "truncated" in refusal(path, 64)


def test_memory_running_out_is_a_refusal_too(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(archives.png(np.zeros((2, 2, 3), np.uint8)))

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)
    assert "cannot be read (MemoryError)" in refusal(tmp_path / "a.png")


def test_an_interruption_is_not_a_damaged_picture(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(archives.png(np.zeros((2, 2, 3), np.uint8)))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "convert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_picture(tmp_path / "a.png", 2)


# Manners


def test_threads_do_not_disturb_each_other_nor_pillow(tmp_path):
    paths = [saved(tmp_path / f"{seed}.jpg", photo(50, seed)) for seed in range(8)]
    (tmp_path / "huge.png").write_bytes(png_chunks(10_000, 10_000))
    before = (
        Image.MAX_IMAGE_PIXELS,
        list(Image.ID),
        list(warnings.filters),
        threading.active_count(),
    )
    alone = [read_picture(path, 50) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        refused = pool.submit(refusal, tmp_path / "huge.png")
        together = list(pool.map(lambda path: read_picture(path, 50), paths * 4))
    assert "pixels" in refused.result()
    for number, image in enumerate(together):
        np.testing.assert_array_equal(image, alone[number % 8])
    assert before == (
        (Image.MAX_IMAGE_PIXELS, list(Image.ID), list(warnings.filters), threading.active_count())
    )


def test_the_result_can_be_written_to(tmp_path):
    buffer = io.BytesIO()
    photo(4).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    read_picture(tmp_path / "a.png", 4)[0, 0] = 1
