import hashlib
import http.server
import socket
import threading
import time

import pytest

from pipelines.data import DataError, cifar10, download, fashion_mnist, load
from pipelines.data.download import Remote, Unavailable, fetch
from tests.helpers import archives

CONTENT = bytes(range(256)) * 4000
PROBE = download.probe


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves /file whole, /cut without its second half, /endless with no length; else 404."""

    def do_GET(self):
        name = self.path.strip("/")
        content = self.server.files.get(name)
        self.send_response(404 if content is None else 200)
        if name != "endless":
            self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        content = content or b""
        self.wfile.write(content[: len(content) // 2] if name == "cut" else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files = {"file": CONTENT, "cut": CONTENT, "endless": CONTENT}
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _isolated(monkeypatch, tmp_path):
    archives.isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(download, "probe", PROBE)


def remote(server, name, content=CONTENT, **replaced):
    digest = hashlib.sha256(content).hexdigest()
    settings = {"url": f"{server.url}/{name}", "size_bytes": len(content), "sha256": digest}
    return Remote(**(settings | replaced))


def refusal(wanted, folder):
    with pytest.raises(Unavailable) as caught:
        fetch(wanted, folder)
    assert not folder.is_dir() or not list(folder.iterdir())  # nothing half-done is left
    message = str(caught.value)
    assert caught.value.reason in message and wanted.url in message and wanted.sha256 in message
    return message


def test_a_whole_file(server, tmp_path):
    calls = []
    path = fetch(remote(server, "file"), tmp_path / "new" / "folder", lambda *c: calls.append(c))
    assert path == tmp_path / "new" / "folder" / "file" and path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert calls[-1] == ("file, bytes", len(CONTENT), len(CONTENT)) and len(calls) > 1
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_wrong_digest(server, tmp_path):
    message = refusal(remote(server, "file", sha256="0" * 64), tmp_path)
    assert f"must have sha256 {'0' * 64}, got {hashlib.sha256(CONTENT).hexdigest()}" in message


def test_connection_cut_midway(server, tmp_path):
    assert "broke off after 512000 of 1024000 bytes" in refusal(remote(server, "cut"), tmp_path)


def test_more_than_expected(server, tmp_path):
    message = refusal(remote(server, "endless", size_bytes=1000), tmp_path)
    assert "more than the expected 1000 bytes" in message


def test_not_found(server, tmp_path):
    assert "404" in refusal(remote(server, "nothing"), tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "File exists" in refusal(remote(server, "file"), tmp_path / "file")
    assert "Not a directory" in refusal(remote(server, "file"), tmp_path / "file" / "below")


def test_an_interrupted_download_leaves_nothing(server, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(remote(server, "file"), tmp_path, interrupt)
    assert not list(tmp_path.iterdir())


def test_nobody_listens(server, tmp_path):
    with socket.socket() as silent:  # bound, and so nobody else's, but not listening
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        message = refusal(remote(server, "file", url=url), tmp_path)
    assert "127.0.0.1 did not answer" in message


def test_the_probe_does_not_wait_for_a_slow_name_server(monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(20) and [])
    started = time.monotonic()
    silence = PROBE("https://somewhere.example/file", patience_s=0.2)
    assert time.monotonic() - started < 3
    assert silence == "somewhere.example did not answer within 0.2 s"
    answer.set()


def test_the_probe_asks_the_proxy(server, monkeypatch):
    site = "http://somewhere.invalid/file"
    monkeypatch.setenv("http_proxy", server.url)
    assert PROBE(site, patience_s=3) == ""
    monkeypatch.setenv("http_proxy", server.url.removeprefix("http://"))
    assert PROBE(site, patience_s=3) == ""
    monkeypatch.setenv("http_proxy", "http://localhost:port")
    assert "proxy" in PROBE(site, patience_s=3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert PROBE(f"{server.url}/file", patience_s=3) == ""


# Whole datasets over the wire


@pytest.fixture
def cifar10_site(server, tmp_path, monkeypatch):
    """A site with a tiny CIFAR-10; tests may change what it serves."""
    train, test = archives.some(20), archives.some(5)
    files = archives.batch_files(train, test, encode=archives.binary_batch, suffix=".bin")
    path = archives.write_tar(tmp_path / "x.tar.gz", "cifar-10-batches-bin", files)
    name = "cifar-10-binary.tar.gz"
    server.files[name] = path.read_bytes()
    monkeypatch.setattr(cifar10, "ARCHIVE", remote(server, name, path.read_bytes()))
    return server


@pytest.mark.parametrize("name", ["auto", "cifar10"])
def test_cifar10_is_fetched_once(name, cifar10_site, tmp_path):
    first = load(name)
    cifar10_site.files.clear()
    again = load(name)
    assert first.name == "cifar10" and len(first.train) == 18 and first.notice == ""
    assert first.fingerprint == again.fingerprint
    assert first.source == str(tmp_path / "cache" / "cifar-10-binary.tar.gz")


def test_a_captive_portal_is_an_error_for_cifar10_and_a_notice_for_auto(cifar10_site, tmp_path):
    cifar10_site.files["cifar-10-binary.tar.gz"] = b"<html>Please log in</html>"
    with pytest.raises(DataError, match="must have sha256 .* got "):
        load("cifar10")
    data = load("auto")
    assert data.name == "digits" and "must have sha256" in data.notice
    assert "NOT CIFAR-10" in data.notice and "\n" not in data.notice
    assert not list((tmp_path / "cache").iterdir())


def test_fashion_mnist_fetches_only_what_is_missing(server, tmp_path, monkeypatch):
    train, test = archives.some(12, shape=(28, 28)), archives.some(5, shape=(28, 28))
    files = archives.idx_files(train, test)
    server.files |= files
    names = {name.removesuffix(".gz"): name for name in files}
    remotes = {stem: remote(server, name, files[name]) for stem, name in names.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", remotes)
    present = "train-images-idx3-ubyte.gz"
    archives.write_folder(tmp_path / "cache" / "fashion-mnist", {present: files[present]})
    labels = []
    data = load("fashion_mnist", progress=lambda label, *_: labels.append(label))
    assert (len(data.train), len(data.validation), len(data.test)) == (11, 1, 5)
    assert labels == [f"{name}, bytes" for name in files if name != present]
