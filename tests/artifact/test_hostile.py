"""Files made to crash, fool or exhaust the reader: each is refused by name, in little memory."""

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.artifact._members import Deflated, deflate
from jaxcompress.artifact.streams import MANIFEST
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.leaves import Half, LowRank, Quantized
from tests.helpers.files import members_of, resealed, rewritten, save, written, zipped


def example():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((20, 600)).astype(np.float32)
    kernel[rng.random(kernel.shape) < 0.98] = 0
    full = rng.integers(1, 6, (8, 9)).astype(np.uint8)
    book = np.array([-2, -1, 0.5, 1, 2], np.float32)
    return {
        "bias": np.arange(5, dtype=np.float32),
        "full": jc.Clustered(codes=full, codebook=book),
        "kernel": jc.kmeans({"w": kernel}, 5)["w"],
        "sparse": jc.leaves.sparse({"w": kernel[:4]})["w"],
        "flags": np.array([True, False]),
    }


BIAS, FLAGS, FULL, KERNEL, SPARSE = range(5)


def grids():
    """Leaves that came with version 3; scales 0.5 and 1 in blocks of 3 and 2 of 5 rows."""
    values = np.array([[-8, 7], [3, -4], [0, 1], [2, 2], [5, -6]], np.int8)
    scale = np.array([[0.5, 0.5], [1, 1]], np.float32)
    zero_point = np.array([[-1, 2], [0, 3]], np.int8)
    return {
        "affine": Quantized(values=values, scale=scale, zero_point=zero_point, bits=4),
        "half": Half(values=np.array([1.5, -2], np.float16), dtype=np.dtype("f4")),
    }


AFFINE, HALF = range(2)


def changed_grids(change, layout="csr"):
    """As `changed`, of a file of version 3."""
    return changed(change, layout, grids)


def products():
    """A leaf that came with version 4: a factor of numbers and one on a grid."""
    column = Quantized(values=np.array([[3], [-4]], np.int8), scale=np.ones((1, 1), "f"), bits=8)
    row = np.array([[0.5, 2, -1]], np.float32)
    return {"thin": LowRank(factors=(column, row), equation="ir,ro->io")}


def product(change):
    """As `changed_product`, of what the manifest says of the factors."""
    return changed_product(lambda members: change(members[MANIFEST]["tensors"][0]["product"]))


def factor(index, **fields):
    """The change of some fields of one factor."""
    return product(lambda found: found["factors"][index].update(fields))


def wide_product(*, declared):
    """A few numbers that make a tensor of a terabyte."""

    def build(path):
        size = 1 << 19
        sides = np.ones((size, 1), "f"), np.ones((1, size), "f")
        leaf = LowRank(factors=sides, equation="ir,ro->io")
        parts = encoded([("thin", leaf)], [np.zeros(1)], "packed")
        write(path, parts, {"dict": [["thin", 0]]})
        rewritten(path, entry(0, shape=declared))

    return build


def ties():
    """Leaves that are the same as the first one, which came with version 6."""
    numbers = np.arange(80, dtype=np.float32)
    return {"a": numbers, "b": numbers, "c": np.arange(90, dtype=np.int8), "d": numbers}


def same(path, tensor):
    """An entry of the manifest."""
    return {"path": path, "shape": [80], "dtype": "float32", "form": "same", "tensor": tensor}


def changed_ties(index, **fields):
    """As `changed`, of some fields of an entry of a file of version 6."""
    return changed(entry(index, **fields), "packed", ties)


def changed_product(change):
    """As `changed`, of a file of version 4."""
    return changed(change, "csr", products)


def changed(change, layout="packed", tree=example):
    """A file whose author changed arrays or manifest and made all sums anew."""

    def build(path):
        save(path, tree(), layout)
        rewritten(path, change)

    return build


def entry(index, **fields):
    """The change of some fields of one tensor."""
    return lambda members: members[MANIFEST]["tensors"][index].update(fields)


def manifest(**fields):
    """The change of some fields of the manifest."""
    return lambda members: members[MANIFEST].update(fields)


def value(stream, index, number):
    """The change of one number of a stream."""

    def change(members):
        members[stream][index] = number

    return change


def text(edit):
    """A file whose manifest is not what JSON writes, with its sum made anew."""

    def build(path):
        jc.save(path, example(), layout="packed")
        members = members_of(path)
        plain = json.dumps(members[MANIFEST], separators=(",", ":"), ensure_ascii=False)
        written(path, members, text=edit(plain).encode())

    return build


def raw(name, content, *, size=None):
    """A file with a member of these very bytes, in place of the one of its name if there is one."""

    def build(path):
        jc.save(path, example(), layout="packed")
        data = deflated(content)
        member = Deflated((data,), zlib.crc32(content), len(content) if size is None else size)
        members = {n: deflate([a]) for n, a in streams_of(path).items()}
        path.write_bytes(zipped(members | {name: member}, comment_of(path)))

    return build


def deflated(content):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(content) + compressor.flush()


def streams_of(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def comment_of(path):
    with zipfile.ZipFile(path) as archive_:
        return archive_.comment


def npy(array):
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=True)
    return content.getvalue()


def rezipped(*more, drop=(), compression=zipfile.ZIP_DEFLATED):
    """The members in a zip of Python's own, with others beside them."""

    def build(path):
        jc.save(path, example(), layout="packed")
        arrays, comment = streams_of(path), comment_of(path)
        with zipfile.ZipFile(path, "w", compression) as out:
            for name, array in arrays.items():
                if name not in drop:
                    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                    info.create_system, info.compress_type = 3, compression
                    out.writestr(info, npy(array))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name, content in more:
                    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                    info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
                    out.writestr(info, content)
            out.comment = comment

    return build


def deep(levels):
    """A tree of lists in lists."""
    tree = 0
    for _ in range(levels):
        tree = {"list": [tree]}
    return tree


def bytes_changed(change):
    def build(path):
        jc.save(path, example(), layout="packed")
        path.write_bytes(change(path.read_bytes()))

    return build


def pretty(data):
    return text(lambda plain: json.dumps(json.loads(plain), indent=data))


def bomb(path):
    """A quarter of a megabyte that becomes a quarter of a gigabyte."""
    jc.save(path, example(), layout="packed")
    members = {n: deflate([a]) for n, a in streams_of(path).items()}
    compressor, crc, segments = zlib.compressobj(9, zlib.DEFLATED, -15), 0, []
    zeros = bytes(1 << 24)
    for _ in range(16):
        segments.append(compressor.compress(zeros))
        crc = zlib.crc32(zeros, crc)
    member = Deflated((*segments, compressor.flush()), crc, 16 << 24)
    path.write_bytes(zipped(members | {"int8": member}, comment_of(path)))


def members_beyond_the_file(path):
    """The first member is said to be so long that no place after it fits 32 bits."""
    jc.save(path, {"x": np.ones(3, "f"), "b": np.array([True])}, layout="packed")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    for place in (18, 22, central + 20, central + 24):
        struct.pack_into("<L", data, place, 2**32 - 1)
    path.write_bytes(data)


def path_bomb(path):
    """One long key above many leaves: half a megabyte of JSON, gigabytes of paths."""
    jc.save(path, {"x": np.ones(3, np.float32)})
    tree = {"dict": [["A" * 100_000, {"list": list(range(20_000))}]]}
    rewritten(path, manifest(tree=tree))


def no_levels_in_words(path):
    codes = np.array([[1, 2, 0]], np.uint8)
    leaf = jc.Clustered(codes=codes, codebook=np.array([-1, 1], np.float32))
    save(path, {"w": leaf}, "ans")
    members = members_of(path)
    members.pop("ans")
    members[MANIFEST]["tensors"][0].update(shape=[0, 3], words=[], entries=0)
    written(path, members)


def huge_stored(path):
    """A small member that claims to take the rest of a large file."""
    jc.save(path, {"x": np.ones(3, np.float32)})
    data = bytearray(path.read_bytes())
    entry_at = data.index(b"PK\1\2")
    struct.pack_into("<L", data, entry_at + 20, 2**31)
    struct.pack_into("<L", data, 18, 2**31)
    path.write_bytes(data)


def json_bomb(path):
    """Fifteen megabytes of empty lists, which take some hundreds in memory."""
    jc.save(path, example(), layout="packed")
    written(path, members_of(path), text=b"[" + b"[]," * 5_000_000 + b"[]]")


def big_manifest(path):
    jc.save(path, example(), layout="packed")
    written(path, members_of(path), text=b'"' + b" " * (1 << 25) + b'"')


NO_PRODUCT = "thin: product is not valid"

HOSTILE = {
    # What is declared.
    "zip bomb": (bomb, "streams take more than max_bytes allows: expected <= .*, found 2685"),
    "bomb that lies about its size": (
        raw("bool", bytes(10**6), size=128),
        "another number of bytes",
    ),
    "member of less than it declares": (raw("bool", b"x", size=10**6), "another number of bytes"),
    "members beyond the file": (members_beyond_the_file, "header of the zip|run into|more bytes"),
    "a path bomb": (path_bomb, "tree is not valid: .* have paths of such a length"),
    "words for no levels": (no_levels_in_words, "w: packing ans: words for no levels"),
    "deep containers": (
        changed(lambda m: m[MANIFEST].update(tree=deep(70))),
        "nested more than 64 deep",
    ),
    "deep paths": (changed(entry(BIAS, path="/".join("a" * 100))), "nested more than 64 deep"),
    "stored bytes beyond the file": (huge_stored, "more bytes than incompressible ones take"),
    "huge manifest": (big_manifest, "the manifest is too long"),
    "JSON that swells": (json_bomb, "manifest holds more values than"),
    "more numbers than there are": (changed(entry(BIAS, shape=[600])), "bias: float32: too few"),
    "shape larger than the data": (changed(entry(FULL, shape=[80, 90])), "full: digits: too few"),
    "huge shape": (changed(entry(BIAS, shape=[2**40, 2**40])), "bias: .* max_bytes"),
    "overflowing shape": (changed(entry(BIAS, shape=[2**32, 2**32, 0])), "bias: "),
    "large shape in few words": (
        changed(entry(SPARSE, shape=[1000, 6000]), "ans"),
        "sparse: packing ans: 6000000 levels are too many for so few words",
    ),
    "entries beyond reason": (changed(entry(KERNEL, entries=2**63)), "entries is not valid"),
    # Members that are not arrays, or not such arrays.
    "huge npy header": (
        raw("bool", b"\x93NUMPY\2\0" + struct.pack("<L", 2**30) + b" " * 10**6),
        "bool: not an array of one axis as numpy writes it: expected .b1",
    ),
    "objects": (raw("bool", npy(np.array([None, 1]))), "bool: not an array"),
    "structures": (raw("bool", npy(np.zeros(2, "i4,f4"))), "bool: not an array"),
    "text": (raw("bool", npy(np.array(["a"]))), "bool: not an array"),
    "big-endian": (raw("gaps", npy(np.arange(3, dtype=">i2"))), "gaps: not an array"),
    "another dtype": (raw("gaps", npy(np.arange(3, dtype="<i4"))), "gaps: not an array"),
    "two axes": (raw("bool", npy(np.zeros((2, 3), "i1"))), "bool: not an array"),
    "Fortran order": (raw("bool", npy(np.zeros((2, 3), "i1", order="F"))), "bool: not an array"),
    "no axis": (raw("bool", npy(np.int8(1))), "bool: not an array"),
    "not npy": (raw("bool", b"hello"), "bool: not an array"),
    "empty member": (raw("int8", npy(np.zeros(0, "i1"))), "int8: entries that belong to no tensor"),
    # The set of members.
    "member nobody takes": (raw("int8", npy(np.zeros(3, "i1"))), "int8: entries that belong to no"),
    "numbers twice": (raw("float32", npy(np.zeros(3, "f4"))), "float32: expected one member"),
    "unknown member": (rezipped(("more.npy", b"x")), "unknown member: found more"),
    "no .npy at its name": (rezipped(("int8", b"x")), "header of the zip is not in its one form"),
    "duplicate member": (rezipped(("gaps.npy", npy(np.zeros(3, "u1")))), "a member is there twice"),
    "missing member": (rezipped(drop=["bool"]), "flags: bool: expected one member"),
    "missing manifest": (rezipped(drop=[MANIFEST]), "the manifest is missing"),
    "a path upwards": (rezipped(("../../x.npy", b"x")), "unknown member: found ../../x"),
    "an absolute path": (rezipped(("/etc/x.npy", b"x")), "unknown member: found /etc/x"),
    "NUL in a name": (rezipped(("int8\0.npy", b"x")), "header of the zip|unknown member"),
    "a folder": (rezipped(("int8.npy/", b"")), "header of the zip|unknown member"),
    "many members": (
        rezipped(*((f"{i}.npy", b"") for i in range(100_000))),
        "directory of the zip does not fit",
    ),
    "stored without compression": (rezipped(compression=zipfile.ZIP_STORED), "not in its one form"),
    # Bytes that belong to nothing.
    "junk before": (bytes_changed(lambda d: b"junk" + d), "directory of the zip does not fit"),
    "junk after": (bytes_changed(lambda d: d + b"junk"), "no zip ends here"),
    "junk between": (
        bytes_changed(lambda d: d.replace(b"PK\1\2", b"junkPK\1\2", 1)),
        "directory of the zip does not fit",
    ),
    "empty file": (bytes_changed(lambda d: b""), "no zip ends here"),
    "not a zip": (bytes_changed(lambda d: b"hello" * 100), "no zip ends here"),
    "a date": (bytes_changed(lambda d: d.replace(b"\0\0\x21\0", b"\0\0\x22\0", 1)), "one form"),
    # Codes and positions.
    "code beyond the codebook": (
        changed(value("codes", 0, 200), "csr"),
        "full: packing csr: code 200 in a codebook of 5",
    ),
    "column too far": (changed(value("distances", 0, 250), "csr"), "full: packing csr: column"),
    "column that does not advance": (
        changed(value("distances", 3, 0), "csr"),
        "a distance of 0, which repeats a position",
    ),
    "row that is too long": (
        changed(value("row_lengths", 0, 90), "csr"),
        "8 row lengths, the largest 90",
    ),
    "rows of other lengths": (
        changed(lambda m: m["row_lengths"].__setitem__(slice(0, 2), [8, 10]), "csr"),
        "full: packing csr: column",
    ),
    "gap out of the tensor": (changed(value("gaps", 0, 254)), "sha256 differs|position"),
    "more gaps than entries": (changed(value("gaps", -1, 255)), "kept entries instead of"),
    "digit beyond its base": (changed(value("digits", 0, 255)), "full: packing plain: a number of"),
    "words of another tensor": (
        changed(lambda m: m["ans"].__setitem__(slice(None), m["ans"][::-1].copy()), "ans"),
        "packing ans|sha256|Invalid",
    ),
    "a last word of zero": (changed(value("ans", -1, 0), "ans"), "packing ans|sha256"),
    "a class too many": (
        changed(entry(KERNEL, model=[3, 0, 0, 1]), "ans"),
        "model is not valid",
    ),
    "a negative lag": (
        changed(entry(KERNEL, model=[1, -1, 0, 1]), "ans"),
        "model is not valid",
    ),
    "a short model": (changed(entry(KERNEL, model=[1, 0, 0]), "ans"), "model is not valid"),
    "entries in no codebook": (changed(entry(KERNEL, k=0)), "kernel: "),
    "another number of entries": (changed(entry(KERNEL, entries=7)), "kept entries instead of 7"),
    "NaN in a codebook": (
        changed(lambda m: m.update(float32=np.full(1, np.nan, "f4")) or m.pop("float32_planes")),
        "float32",
    ),
    "infinite codebook": (changed(value("float32", 5, np.inf), "csr"), "full: .*not finite"),
    "truth value of 2": (
        changed(lambda m: m.update(bool=np.array([1, 2], "u1").view(bool))),
        "flags: a truth value must be 0 or 1: found 2",
    ),
    # Sums.
    "another codebook": (changed(value("float32", 5, 7.0), "csr"), "full: sha256 differs"),
    "another bias": (changed(value("float32", 0, 7.0), "csr"), "bias: sha256 differs"),
    "another code": (
        changed(lambda m: m["codes"].__setitem__(0, m["codes"][0] % 5 + 1), "csr"),
        "full: sha256 differs",
    ),
    "another sum": (changed(entry(BIAS, sha256="0" * 64)), "bias: sha256 differs: expected 000"),
    "manifest of another sum": (
        bytes_changed(lambda d: d[:-1] + (b"1" if d[-1:] != b"1" else b"2")),
        "sha256 of the manifest differs",
    ),
    # The manifest.
    "newer version": (
        changed(manifest(version=8)),
        "upgrade jaxcompress: expected 1 to 7, found 8",
    ),
    "the same as none": (changed_ties(1, tensor=4), "b: must be the same as .* < 1, found 4"),
    "the same as itself": (changed_ties(1, tensor=1), "b: must be the same as .* < 1, found 1"),
    "the same as a later one": (changed_ties(1, tensor=2), "b: must be the same as .* < 1, found"),
    "the same as a repeat": (changed_ties(3, tensor=1), "d: must be .* that is stored: found b"),
    "the same as another shape": (
        changed_ties(1, shape=[2, 40]),
        "b: must have the shape .*: expected float32 .80., found float32 .2, 40.",
    ),
    "the same as another dtype": (changed_ties(1, dtype="int32"), "b: must have .* the dtype"),
    "the same as another kind": (changed_ties(3, tensor=2), "d: must have the shape"),
    "the same as less than none": (changed_ties(1, tensor=-1), "b: tensor is not valid"),
    "the same as truth": (changed_ties(1, tensor=False), "b: tensor is not valid"),
    "the same as text": (changed_ties(1, tensor="0"), "b: tensor is not valid"),
    "the same, with a digest": (changed_ties(1, sha256="0" * 64), "b: other fields"),
    "the same, with numbers": (
        changed(lambda m: m.update(float32=np.append(m["float32"], m["float32"])), "csr", ties),
        "float32: entries that belong to no tensor",
    ),
    "the same in an old version": (
        changed(manifest(version=5), "packed", ties),
        "b: unknown form: found same",
    ),
    "a first one that is the same": (
        changed(lambda m: m[MANIFEST]["tensors"].__setitem__(0, same("a", 0)), "packed", ties),
        "a: must be the same as .* < 0, found 0",
    ),
    "version of truth": (changed(manifest(version=True)), "version is not one"),
    "version in text": (changed(manifest(version="2")), "version is not one"),
    "downgrade": (changed(manifest(version=1)), "version is not one"),
    "another format": (changed(manifest(format="x")), "another format: expected jaxcompress"),
    "a field more": (changed(manifest(more=1)), "other fields"),
    "tensors in an object": (changed(manifest(tensors={})), "tensors a list"),
    "metadata in a list": (changed(manifest(metadata=[])), "metadata must be an object"),
    "deep metadata": (changed(manifest(metadata={"a": deep(70)})), "metadata is not valid: contai"),
    "no JSON": (text(lambda _: "{"), "the manifest is not JSON"),
    "JSON with blanks": (pretty(1), "not in its one form"),
    "a key twice": (text(lambda t: t.replace("{", '{"version":2,', 1)), "not in its one form"),
    "NaN in JSON": (text(lambda t: t.replace('"metadata":{}', '"metadata":{"a":NaN}')), "not JSON"),
    "deep JSON": (text(lambda _: "[" * 100_000 + "]" * 100_000), "not JSON"),
    "long number": (text(lambda _: "9" * 100_000), "not JSON"),
    "entry that is a number": (changed(manifest(tensors=[1])), "entry without a path"),
    "unknown form": (changed(entry(BIAS, form="pickle")), "bias: unknown form: found pickle"),
    "form in a list": (changed(entry(BIAS, form=[])), "bias: unknown form"),
    "unknown packing": (changed(entry(KERNEL, packing="zip")), "kernel: unknown packing"),
    "packing in a list": (changed(entry(KERNEL, packing=[])), "kernel: unknown packing"),
    "unknown dtype": (
        changed(entry(BIAS, dtype="object")),
        "bias: dtype is not valid: found object",
    ),
    "codes of integers": (changed(entry(KERNEL, dtype="int4")), "kernel: "),
    "negative shape": (changed(entry(BIAS, shape=[-5])), "bias: shape is not valid"),
    "shape of truth": (changed(entry(BIAS, shape=[True])), "bias: shape is not valid"),
    "shape of fractions": (changed(entry(BIAS, shape=[5.0])), "bias: shape is not valid"),
    "shape of many axes": (changed(entry(BIAS, shape=[1] * 70)), "bias: shape is not valid"),
    "field more of a tensor": (changed(entry(BIAS, more=1)), "bias: other fields than this form"),
    "field less of a tensor": (
        changed(lambda m: m[MANIFEST]["tensors"][KERNEL].pop("k")),
        "kernel: other fields",
    ),
    "k beyond reason": (changed(entry(KERNEL, k=10**6)), "kernel: k is not valid"),
    "k of more": (changed(entry(KERNEL, k=6)), "kernel: |belong to no tensor"),
    # Grids.
    "a scale of zero": (changed_grids(value("float32", 0, 0)), "affine: scales must be finite and"),
    "a negative scale": (changed_grids(value("float32", 1, -1)), "affine: scales must be finite"),
    "an endless scale": (changed_grids(value("float32", 2, np.inf)), "affine: scales must be"),
    "a scale of NaN": (changed_grids(value("float32", 3, np.nan)), "affine: scales must be finite"),
    "another scale": (changed_grids(value("float32", 3, 2)), "affine: sha256 differs"),
    "another zero point": (changed_grids(value("int8", 0, -2)), "affine: (sha256|values must)"),
    "a zero point beyond its bits": (
        changed_grids(value("int8", 1, 9)),
        "affine: (values|zero points) must be int8 from -8 to 7",
    ),
    "a zero point beyond all bits": (changed_grids(value("int8", 1, 127)), "affine: levels that"),
    "values beyond their bits": (
        changed_grids(entry(AFFINE, bits=3)),
        "affine: values must be int8 from -4 to 3",
    ),
    "nine bits": (changed_grids(entry(AFFINE, bits=9)), "affine: bits is not valid: found 9"),
    "bits of truth": (changed_grids(entry(AFFINE, bits=True)), "affine: bits is not valid"),
    "other blocks": (changed_grids(entry(AFFINE, scales=[4, 2])), "affine: scales, levels or"),
    "more blocks than rows": (
        changed_grids(entry(AFFINE, scales=[6, 2])),
        "affine: scales, levels",
    ),
    "scales of another rank": (changed_grids(entry(AFFINE, scales=[4])), "affine: scales, levels"),
    "no scales": (changed_grids(entry(AFFINE, scales=[0, 2])), "affine: scales, levels or"),
    "scales beyond reason": (
        changed_grids(entry(AFFINE, scales=[2**40, 2**40])),
        "affine: .* max_bytes",
    ),
    "fewer scales": (changed_grids(entry(AFFINE, scales=[1, 2])), "affine: "),
    "zero points forgotten": (changed_grids(entry(AFFINE, zero_points=False)), "affine: "),
    "zero points in a number": (
        changed_grids(entry(AFFINE, zero_points=1)),
        "affine: zero_points is not valid",
    ),
    "levels above zero": (changed_grids(entry(AFFINE, lowest=1)), "affine: scales, levels or"),
    "levels of other ends": (changed_grids(entry(AFFINE, lowest=-8)), "affine: "),
    "levels beyond 8 bits": (changed_grids(entry(AFFINE, highest=256)), "highest is not valid"),
    "a bitmap of other levels": (
        changed_grids(value("bits", 0, 0)),
        "affine: the bitmap of levels is not in its one form",
    ),
    "bits after the bitmap": (
        changed_grids(lambda m: m["bits"].__setitem__(-1, m["bits"][-1] | 1)),
        "affine: the bitmap of levels is not in its one form",
    ),
    "a grid of integers": (changed_grids(entry(AFFINE, dtype="int8")), "affine: scales, levels or"),
    "grids in version 2": (
        changed_grids(manifest(version=2)),
        "affine: unknown form: found quantized",
    ),
    "halves of another kind": (
        changed_grids(entry(HALF, stored="float32")),
        "half: stored is not valid",
    ),
    "halves in a list": (changed_grids(entry(HALF, stored=[])), "half: stored is not valid"),
    "halves of integers": (
        changed_grids(entry(HALF, dtype="int32")),
        "half: numbers of sixteen bits stand for floating-point numbers",
    ),
    "an endless half": (
        changed_grids(value("float16", 0, np.inf)),
        "half: the numbers are not fin",
    ),
    "another half": (changed_grids(value("float16", 0, 2)), "half: sha256 differs"),
    # Products.
    "letters of no factor": (product(lambda p: p.update(equation="ir,ro->iz")), NO_PRODUCT),
    "letters in a number": (product(lambda p: p.update(equation=7)), NO_PRODUCT),
    "letters without end": (product(lambda p: p.update(equation="ir,ro->io" * 9999)), NO_PRODUCT),
    "a third term": (product(lambda p: p.update(equation="ir,rs,so->io")), NO_PRODUCT),
    "a sum over one factor": (product(lambda p: p.update(equation="ir,so->io")), NO_PRODUCT),
    "a diagonal": (product(lambda p: p.update(equation="ii,io->io")), NO_PRODUCT),
    "no factors": (product(lambda p: p.update(factors=[])), NO_PRODUCT),
    "factors in an object": (product(lambda p: p.update(factors={})), NO_PRODUCT),
    "factors that are numbers": (product(lambda p: p.update(factors=[1, 2])), NO_PRODUCT),
    "a field more of a product": (product(lambda p: p.update(more=1)), NO_PRODUCT),
    "no product": (changed_product(entry(0, product=[])), NO_PRODUCT),
    "a rank of two sizes": (factor(1, shape=[2, 3]), NO_PRODUCT),
    "a factor of three axes": (factor(1, shape=[1, 1, 3]), NO_PRODUCT),
    "a factor in text": (factor(1, shape="12"), NO_PRODUCT),
    "a factor of a factor": (factor(1, form="lowrank"), NO_PRODUCT),
    "a factor of no form": (factor(1, form=None), NO_PRODUCT),
    "a field more of a factor": (factor(1, path="x"), NO_PRODUCT),
    "a packing of no kind": (factor(0, packing="zip"), NO_PRODUCT),
    "nine bits of a factor": (factor(0, bits=9), NO_PRODUCT),
    "a factor of another dtype": (factor(1, dtype="float64"), "thin: factors must be floating"),
    "a product of integers": (changed_product(entry(0, dtype="int32")), "thin: factors must be"),
    "a product of another shape": (
        changed_product(entry(0, shape=[3, 2])),
        "thin: the shape is not that of the product",
    ),
    "a product of a terabyte": (wide_product(declared=[1 << 19, 1 << 19]), "thin: .* max_bytes"),
    "a terabyte that is denied": (wide_product(declared=[1, 1]), "thin: .* max_bytes"),
    "an endless factor": (
        changed_product(value("float32", 2, np.inf)),
        "thin: a factor is not finite",
    ),
    "another factor": (changed_product(value("float32", 2, 7)), "thin: sha256 differs"),
    "a product in version 3": (
        changed_product(manifest(version=3)),
        "thin: unknown form: found lowrank",
    ),
    # The tree.
    "another path": (changed(entry(BIAS, path="kernel")), "'kernel' is there twice"),
    "paths in another order": (
        changed(entry(BIAS, path="z")),
        "be numbered in order",
    ),
    "a leaf below a leaf": (changed(entry(FLAGS, path="bias/x")), "'bias/x' lies below a leaf"),
    "leaf twice": (changed(manifest(tree={"list": [0, 0, 1, 2, 3, 4]})), "tree is not valid"),
    "leaf unknown": (changed(manifest(tree={"list": [0, 1, 2, 3, 9]})), "tree is not valid"),
    "leaf in another order": (changed(manifest(tree={"list": [1, 0, 2, 3, 4]})), "tree is not"),
    "leaf forgotten": (changed(manifest(tree={"list": [0, 1, 2, 3]})), "other tensors"),
    "leaf of truth": (changed(manifest(tree={"list": [False, True, 2, 3, 4]})), "tree is not"),
    "no tree": (changed(manifest(tree="x")), "tree is not valid"),
    "class name": (changed(manifest(tree={"os.system": [0]})), "tree is not valid"),
    "same key twice": (
        changed(manifest(tree={"dict": [["a", 0], ["a", 1], ["b", 2], ["c", 3], ["d", 4]]})),
        "keys must differ",
    ),
    "keys of two kinds": (changed(manifest(tree={"dict": [["a", 0], [1, 1]]})), "of one kind"),
    "key of truth": (changed(manifest(tree={"dict": [[True, 0]]})), "tree is not valid"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name(tmp_path, name):
    build, message = HOSTILE[name]
    path = tmp_path / "m.npz"
    build(path)
    with pytest.raises(jc.ArtifactError, match=message) as caught:
        jc.load(path, max_bytes=1 << 27)
    error = caught.value
    assert error.file == str(path) and str(error).startswith(f"{path}: ") and error.reason
    assert "\n" not in str(error) and len(str(error)) < 500


LOADS = """
import resource, sys
from pathlib import Path
import jaxcompress as jc

jc.load(sys.argv[1])  # so that the limit comes after everything that is imported late
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
used = int(status["VmSize"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), resource.RLIM_INFINITY))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[2]).iterdir()):
    for read in (jc.load, jc.load_compressed):
        try:
            read(path, max_bytes=1 << 27)
        except jc.ArtifactError:
            continue
        raise SystemExit(f"{path} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.slow
def test_hostile_files_are_refused_in_little_memory(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for number, (build, _) in enumerate(HOSTILE.values()):
        build(folder / f"{number}.npz")
    good = tmp_path / "good.npz"
    jc.save(good, example(), layout="entropy")
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(good), str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert int(done.stdout) < 400 << 10


def test_the_examples_themselves_are_read(tmp_path):
    for layout in ("csr", "packed", "entropy", "ans"):
        path = tmp_path / "m.npz"
        for tree in (example(), grids(), products()):
            save(path, tree, layout)
            rewritten(path, lambda members: None)
            assert sorted(jc.load(path, max_bytes=1 << 27)) == sorted(tree)


def test_a_change_with_all_sums_made_anew_is_what_the_author_wrote(tmp_path):
    """Digests show damage, not who wrote a file: this one is valid, and other."""
    path = tmp_path / "m.npz"
    jc.save(path, {"x": np.ones(3, np.float32)}, layout="csr")

    def change(members):
        members["float32"][1] = 5
        resealed(members[MANIFEST]["tensors"][0], members["float32"])

    np.testing.assert_array_equal(jc.load(rewritten(path, change))["x"], [1, 5, 1])


def test_only_regular_files_are_read(tmp_path):
    with pytest.raises(OSError):
        jc.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        jc.load(tmp_path / "missing.npz")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(jc.ArtifactError, match="pipe: a regular file is needed"):
            jc.load(tmp_path / "pipe")
    if Path("/dev/zero").exists():
        with pytest.raises(jc.ArtifactError, match="a regular file is needed"):
            jc.inspect("/dev/zero")


def test_memory_is_asked_for_before_it_is_taken(tmp_path):
    path = tmp_path / "m.npz"
    jc.save(path, {"x": np.zeros(1000, np.float32)})
    # The stream, what is copied out of it, and the copy of JAX.
    assert jc.load(path, max_bytes=3 * 4000 + 128 + 500)["x"].shape == (1000,)
    with pytest.raises(jc.ArtifactError, match="max_bytes allows: expected <= 3999 bytes"):
        jc.load(path, max_bytes=3999)
    assert jc.inspect(path)["version"] == 2


def test_without_a_limit_half_of_the_free_memory_is_one(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    jc.save(path, {"x": np.zeros(1000, np.float32)})
    monkeypatch.setattr("jaxcompress.artifact.memory.free_bytes", lambda: 6000)
    with pytest.raises(jc.ArtifactError, match="expected <= 3000 bytes"):
        jc.load(path)
