"""The language model's benchmark: pages, tokens, GGUF's blocks and mixtures, the table."""

import gzip
import io
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import jaxcompress as jc
from benchmarks.gpt import ggml, manuals, mixtures, pieces, table
from benchmarks.gpt.methods import divergence
from benchmarks.gpt.train import TOKENS, windows


def member(name, content):
    """A member of an `ar` archive, as a .deb is."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)


def deb(sources):
    """A package with manual pages, the first also by another name."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for name, source in sources.items():
            info = tarfile.TarInfo(f"./usr/share/man/{name}.gz")
            content = gzip.compress(source.encode())
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/share/man/man1/link.1.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "other.1.gz"
        archive.addfile(link)
    data = stream.getvalue()
    return b"!<arch>\n" + member("debian-binary", b"2.0") + member("data.tar.xz", data)


def test_pages_are_those_of_the_packages_in_order(tmp_path):
    first = {"man3/b.3": ".SH NAME\nb", "man2/a.2": "text", "man3/alias.3": ".so man3/b.3"}
    (tmp_path / "manpages_1_all.deb").write_bytes(deb(first))
    with pytest.raises(FileNotFoundError, match="manpages-dev_.*apt-get download manpages-dev"):
        manuals.pages(tmp_path)
    (tmp_path / "manpages-dev_1_all.deb").write_bytes(deb({"man7/c.7": "last"}))
    pages = manuals.pages(tmp_path)
    assert pages == {"man2/a.2": "text\n", "man3/b.3": "\nNAME\nb\n", "man7/c.7": "last\n"}
    assert [*pages] == sorted(pages)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('.\\" a comment', ""),
        ('.BI "int printf(" format ", ...);"', "int printf(format, ...);\n"),
        (".B two words", "two words\n"),
        (
            "\\fBbold\\fP and \\(aqsingle\\(aq \\-x \\e \\s-1small\\s0",
            "bold and 'single' -x \\ small\n",
        ),
        (".IP \\(bu 3", "\n* "),
        (".PP", "\n"),
        (".TH NAME 3 2022", ""),
        ('.B unclosed "quote', 'unclosed "quote\n'),
    ],
)
def test_the_text_of_a_page(source, text):
    assert manuals.plain(source) == text


def test_one_page_of_ten_judges_and_another_is_for_choosing():
    parts = manuals.split({f"{n:02}": f"text {n}" for n in range(20)})
    assert parts["validation"] == ["text 8", "text 18"]
    assert parts["test"] == ["text 9", "text 19"]
    assert len(parts["train"]) == 16


def test_pairs_that_are_frequent_become_tokens():
    a, b, space = (1 + byte for byte in b"ab ")
    merges = pieces.learned(["ab ab ab"], 259)
    assert merges == [(a, b), (space, 257)]
    tokens = pieces.Pieces(merges)
    assert tokens("ab abb") == [257, 258, b, pieces.END]
    assert pieces.learned(["a"], 300) == []


def test_tokens_say_what_the_text_says():
    text = "The fork() call: a child\n\n\tprocess, 42 \u00e9t\u00e9s; fork fork forks"
    merges = pieces.learned([text], 290)
    tokens = pieces.Pieces(merges)(text)
    meaning = {1 + byte: bytes([byte]) for byte in range(256)}
    for rank, (first, second) in enumerate(merges):
        meaning[257 + rank] = meaning[first] + meaning[second]
    assert b"".join(meaning[token] for token in tokens[:-1]).decode() == text
    assert len(tokens) < len(text.encode()) and max(tokens) > 256


def test_windows_follow_each_other():
    found = windows(np.arange(3 * TOKENS))
    assert found.shape == (2, TOKENS + 1)
    assert found[0, -1] == found[1, 0] == TOKENS


@pytest.mark.slow
def test_the_divergence_of_two_tokens():
    exact, found = np.array([[[0.0, 1.0], [2.0, 0.0]]]), np.array([[[0.0, 1.0], [0.0, 0.0]]])
    p, q = log_softmax(exact[0, 1]), log_softmax(found[0, 1])
    assert float(divergence(found, exact)) == pytest.approx(
        np.sum(np.exp(p) * (p - q)) / 2, rel=1e-5
    )


def network():
    """A table, kernels of three axes and a bias; the weights are integers."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.integers(-127, 128, shape).astype("f")

    params = {
        "words": {"embedding": draw(5, 32)},
        "query": {"kernel": draw(32, 2, 32), "bias": draw(2, 32)},
        "out": {"kernel": draw(2, 32, 7)},
    }
    for kernel in (params["words"]["embedding"], params["query"]["kernel"][:, 0, 0]):
        kernel[..., 0] = 127

    def apply(params, tokens):
        x = params["words"]["embedding"][tokens]
        x = jnp.tensordot(x, params["query"]["kernel"], 1) + params["query"]["bias"]
        return jnp.tensordot(x, params["out"]["kernel"], 2)

    return params, apply


TOKEN_BATCH = np.array([0, 3, 3])


def given():
    params, apply = network()
    moments = jc.quantization.input_moments(apply, params, [TOKEN_BATCH])
    return params, apply, ggml.matrices(params, moments)


def test_rows_are_outputs_and_importance_is_the_mean_square_of_inputs():
    params, _, found = given()
    assert found.keys() == {"words/embedding", "query/kernel", "out/kernel"}
    assert found["words/embedding"].importance is None
    query, out = params["query"], params["out"]["kernel"]
    np.testing.assert_array_equal(found["query/kernel"].rows[33], query["kernel"][:, 1, 1])
    np.testing.assert_array_equal(found["out/kernel"].rows[6], out[:, :, 6].ravel())
    x = params["words"]["embedding"][TOKEN_BATCH]
    inside = np.tensordot(x, query["kernel"], 1) + query["bias"]
    for path, inputs in (("query/kernel", x), ("out/kernel", inside.reshape(3, 64))):
        square = np.square(inputs.astype(np.float64)).mean(0)
        np.testing.assert_allclose(found[path].importance, square / square.mean(), rtol=1e-4)
    for path, leaf in (("query/kernel", query["kernel"]), ("out/kernel", out)):
        np.testing.assert_array_equal(ggml.as_leaf(found[path].rows, leaf), leaf)


def test_a_gguf_file_holds_the_network_in_blocks(tmp_path):
    gguf = pytest.importorskip("gguf")
    params, _, matrices = given()
    path = tmp_path / "small.gguf"
    ggml.save(path, params, matrices, ggml.by_gguf, mixtures.pure("Q8_0"))
    found = ggml.load(path, params)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, params)
    np.testing.assert_array_equal(found["query"]["bias"], params["query"]["bias"])
    np.testing.assert_array_equal(found["words"]["embedding"], params["words"]["embedding"])
    for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(found), strict=True):
        assert np.abs(new - old).max() <= 0.51
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert kinds.pop("query/bias") == "F32" and set(kinds.values()) == {"Q8_0"}
    blocks = sum(len(m.rows) * ggml.row_bytes(m.rows.shape[1], "Q8_0") for m in matrices.values())
    assert blocks == (5 * 1 + 64 * 1 + 7 * 2) * 34 < path.stat().st_size


def test_rows_of_no_whole_blocks_are_refused():
    pytest.importorskip("gguf")
    assert ggml.row_bytes(256, "Q4_K") == 144 and ggml.row_bytes(256, "IQ4_XS") == 136
    with pytest.raises(ValueError, match="multiples of 256 for Q4_K, got 64; take another width"):
        ggml.row_bytes(64, "Q4_K")


def test_mixtures_by_path():
    value, down = "blocks/{}/attention/value/kernel", "blocks/{}/dense2/kernel"
    medium, small = mixtures.MIXTURES["Q4_K_M"], mixtures.MIXTURES["Q3_K_M"]
    assert [medium(value.format(k)) for k in range(6)] == ["Q4_K", "Q4_K", "Q6_K"] * 2
    assert medium("predict/kernel") == "Q6_K" and medium("words/embedding") == "Q4_K"
    assert [small(value.format(k)) for k in (0, 1, 2)] == ["Q5_K", "Q5_K", "Q4_K"]
    assert small(down.format(3)) == "Q4_K" and small("blocks/3/dense1/kernel") == "Q3_K"
    assert mixtures.pure("IQ3_XXS")("words/embedding") == "IQ3_S"
    assert mixtures.pure("IQ3_XXS")("predict/kernel") == "IQ3_XXS"


def test_formats_by_damage_take_the_least_within_a_budget():
    choice = mixtures.Choice
    options = {
        "a": [choice("Q2_K", 10, 5.0), choice("Q4_K", 20, 1.0)],
        "b": [choice("Q2_K", 100, 0.2), choice("Q4_K", 200, 0.1)],
    }
    for budget, expected in (
        (110, ("Q2_K", "Q2_K")),
        (150, ("Q4_K", "Q2_K")),
        (220, ("Q4_K",) * 2),
    ):
        kinds = mixtures.by_damage(options, budget)
        assert (kinds("a"), kinds("b")) == expected


def test_choices_scale_the_measured_damage_by_the_squared_error(monkeypatch):
    """With 4 bits in place of 3 and 8 in place of 4: exact integers do none."""
    pytest.importorskip("gguf")
    monkeypatch.setattr(mixtures, "OFFERED", ("Q4_0", "Q8_0"))
    monkeypatch.setattr(mixtures, "_PROBED", "Q4_0")
    params, _, matrices = given()
    table = mixtures.choices(
        params,
        matrices,
        ggml.by_gguf,
        lambda tree: float(
            np.square(tree["words"]["embedding"] - params["words"]["embedding"]).sum()
        ),
    )
    coarse, fine = table["words/embedding"]
    assert (coarse.kind, coarse.size_bytes, fine.kind, fine.size_bytes) == ("Q4_0", 90, "Q8_0", 170)
    rows = matrices["words/embedding"].rows
    blocks = ggml.by_gguf(matrices["words/embedding"], "Q4_0")
    error = np.square(ggml.dequantized(blocks, "Q4_0") - rows).sum()
    assert coarse.damage == pytest.approx(error, rel=1e-5) and error > 1 and fine.damage == 0


def test_bytes_at_a_divergence_are_between_measured_ones_only():
    curve = [(0.1, 300.0), (0.001, 500.0)]
    assert table.bytes_at(curve, 0.01) == 400
    assert table.bytes_at(curve, 0.2) is None and table.bytes_at(curve, 0.0001) is None


def test_the_table_compares_at_equal_divergence():
    def row(name, quantizer, size, divergence, seed=0):
        same = {"weights": 1000, "perplexity": 20.0, "perplexity_float32": 19.0, "tokens": 10}
        return same | {
            "name": name,
            "quantizer": quantizer,
            "seed": seed,
            "file_bytes": size,
            "divergence": divergence,
        }

    figures = [
        row("a", "ours", 500, 0.001),
        row("b", "ours", 300, 0.1),
        row("Q", "ggml", 800, 0.01),
    ]
    record = {
        "figures": figures,
        "command": "c",
        "date": "d",
        "commit": "e",
        "hardware": "h",
        "versions": {"jax": "1", "numpy": "2"},
        "seeds": [0],
    }
    lines = table.gpt(record)
    assert lines[2] == "| a | ours | 500 | 4.00 | 20.00 | 0.00100 |  |"
    assert lines[4] == "| Q | ggml | 800 | 6.40 | 20.00 | 0.01000 | 400 bytes, 0.50x |"
