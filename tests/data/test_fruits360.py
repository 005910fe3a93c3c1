"""Fruits-360 from a folder, from kagglehub's cache, or by kagglehub; and every way to fail."""

import socket
import sys

import pytest

from pipelines.data import download, fruits360
from pipelines.data.dataset import DataError
from pipelines.data.download import Unavailable
from pipelines.data.fruits360 import HANDLE, load
from tests.helpers import archives

COUNTS = {"Apple 5": (6, 2), "Zucchini 1": (5, 2)}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)

    def refuse(*_):
        raise AssertionError("a test must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def unpacked(folder, part="fruits-360_100x100"):
    """What the published archive holds, and what it holds beside that."""
    archives.write_classes(folder / part / "fruits-360", COUNTS)
    for other in ("original-size", "3-body-problem"):
        archives.write_classes(folder / f"fruits-360_{other}" / "x", {"Apple": (2, 1)})
    return folder


def stored(cache, *, complete=True):
    """A folder as kagglehub leaves it, with its mark beside it."""
    dataset = cache / "datasets" / "moltean" / "fruits"
    unpacked(dataset / "versions" / "11")
    if complete:
        (dataset / "11.complete").touch()
    return dataset / "versions" / "11"


def refusal():
    with pytest.raises(Unavailable) as caught:
        load(None)
    message = str(caught.value)
    assert "\n" not in message and caught.value.reason in message
    assert "https://www.kaggle.com/datasets/moltean/fruits" in message
    assert "version 11 by hand, unpack it, and pass its folder as --data-dir" in message
    return message


@pytest.fixture
def kagglehub(monkeypatch):
    """The real package, with a network to be replaced."""
    monkeypatch.setattr(download, "probe", lambda url, patience_s: "")
    return pytest.importorskip("kagglehub")


# Where it is found


@pytest.mark.parametrize("part", ["fruits-360_100x100", "fruits-360_dataset_100x100"])
@pytest.mark.parametrize("below", ["", "{part}", "{part}/fruits-360"])
def test_a_given_folder(part, below, tmp_path):
    top = unpacked(tmp_path / "archive", part)
    data = load(top / below.format(part=part))
    assert data.name == "fruits360" and data.classes == ("Apple 5", "Zucchini 1")
    assert data.source == str(top / part / "fruits-360") and len(data.train) == 10


def test_a_given_folder_is_never_passed_over(tmp_path):
    stored(tmp_path / "kagglehub")
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folders Training and Test side by side"):
        load(tmp_path / "empty")


@pytest.mark.parametrize("place", ["kagglehub", "home/.cache/kagglehub"])
def test_the_cache_needs_neither_network_nor_kagglehub(place, tmp_path, monkeypatch):
    if place.startswith("home"):
        monkeypatch.delenv("KAGGLEHUB_CACHE")
    folder = stored(tmp_path / place)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert load(None).source == str(folder / "fruits-360_100x100" / "fruits-360")


def test_kagglehub_itself_finds_what_we_find(tmp_path, kagglehub):
    folder = stored(tmp_path / "kagglehub")
    assert kagglehub.dataset_download(HANDLE) == str(folder)
    assert str(folder) in load(None).source


def test_limit_and_progress(tmp_path):
    said = []
    stored(tmp_path / "kagglehub")
    data = load(None, lambda *words: said.append(words), 3)
    assert len(data.train) == 3 and said == [("pictures", 8, 8)]
    with pytest.raises(DataError, match="at most the 10 training images of fruits360, got 11"):
        load(None, limit=11)


# Downloading


def test_a_download(tmp_path, monkeypatch, kagglehub, capsys):
    def resolve(handle, path, **_):
        sys.stdout.write("a newer kagglehub is out")
        kagglehub.datasets.logger.info("Downloading ...")
        assert (handle.owner, handle.dataset, handle.version) == ("moltean", "fruits", 11)
        return str(stored(tmp_path / "kagglehub")), 11

    monkeypatch.setattr(kagglehub.registry, "dataset_resolver", resolve)
    assert len(load(None).train) == 10
    printed = capsys.readouterr()
    assert printed.out == "" and "newer" in printed.err  # what is piped on is our report alone


def test_no_network_is_found_out_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    stored(tmp_path / "kagglehub", complete=False)  # a download that broke off does not count
    assert "nobody answered" in refusal()
    asked = []
    monkeypatch.setattr(download, "probe", lambda *url, patience_s: asked.append((url, patience_s)))
    with pytest.raises(Unavailable):
        load(None, patience_s=0.5)
    assert asked == [(("https://www.kaggle.com",), 0.5)]


def test_a_missing_kagglehub(monkeypatch):
    monkeypatch.setattr(download, "probe", lambda url, patience_s: "")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    message = refusal()
    assert "needs kagglehub (" in message and "pip install -e '.[run]', or download" in message


def test_inside_a_kaggle_notebook_the_site_is_not_asked(monkeypatch, kagglehub):
    monkeypatch.setattr(download, "probe", lambda url, patience_s: "nobody answered")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setattr(kagglehub, "dataset_download", lambda _: 1 / 0)
    assert "the download failed (division by zero)" in refusal()


@pytest.mark.parametrize(
    "error",
    [OSError("disk full"), ValueError("403 Client Error.\n\nPlease log in"), TimeoutError()],
)
def test_whatever_kagglehub_raises_is_one_line(error, monkeypatch, kagglehub):
    def fail(_):
        raise error

    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    said = " ".join(str(error).split()) or "TimeoutError"
    assert f"the download failed ({said}); download" in refusal()


def test_kagglehub_without_a_network(monkeypatch, kagglehub):
    def fail(*_):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", fail)
    monkeypatch.setattr(socket.socket, "connect", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "the download failed (" in refusal()


def test_an_interruption_passes(monkeypatch, kagglehub):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kagglehub, "dataset_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(None)


def test_the_handle_is_pinned():
    assert fruits360.HANDLE == "moltean/fruits/versions/11"
