"""Fetching a published file: a quick look whether anyone answers, then bytes under a digest."""

import contextlib
import hashlib
import http.client
import os
import socket
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.data.dataset import DataError, Progress

_SOCKET_TIMEOUT_S = 20.0
_CHUNK_BYTES = 2**18
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on the web and the digest that tells it from anything else.

    Attributes:
        url: Where it is.
        size_bytes: Its size; a longer answer is cut off.
        sha256: Its digest, in hex.
        alternative: Another way to get it, for the error message, or empty.
    """

    url: str
    size_bytes: int
    sha256: str
    alternative: str = ""

    @property
    def name(self) -> str:
        """The file name, the last part of the URL."""
        return self.url.rpartition("/")[2]

    def remedy(self, folder: Path) -> str:
        """What to do where it cannot be fetched into a folder."""
        ways = [
            f"download it by hand (sha256 {self.sha256}) into {folder}",
            "pass the folder that has it as --data-dir",
            *filter(None, [self.alternative]),
        ]
        return ", or ".join(ways)


class Unavailable(DataError):
    """Something could not be fetched, for want of a network or otherwise.

    Args:
        origin: What was to be fetched.
        reason: Why it could not be, in a few words; kept as an attribute.
        remedy: What to do instead.
    """

    def __init__(self, origin: str, reason: str, *, remedy: str) -> None:
        self.reason = " ".join(reason.split())
        super().__init__(f"{origin}: {self.reason}; {remedy}")


def expanded(path: Path) -> Path:
    """Return a path with a leading `~` made a home folder.

    Raises:
        DataError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise DataError(f"{path}: there is no such home folder; pass another path") from None


def cache_dir() -> Path:
    """The folder for downloads: `$JAXCOMPRESS_DATA`, or `~/.cache/jaxcompress`."""
    chosen = os.environ.get("JAXCOMPRESS_DATA")
    return expanded(Path(chosen)) if chosen else Path.home() / ".cache" / "jaxcompress"


def fetch(
    remote: Remote, folder: Path, progress: Progress | None = None, *, patience_s: float = 5.0
) -> Path:
    """Download a file into a folder, where it appears whole and verified or not at all.

    Args:
        remote: What to fetch.
        folder: Where to put it; made if need be.
        progress: Told the file name and the bytes done and in all.
        patience_s: How long the site may take to accept a connection, in seconds.

    Returns:
        The path of the file.

    Raises:
        Unavailable: Nobody answers, the answer breaks off, or it is not the file.
    """
    remedy = remote.remedy(folder)
    if silence := probe(remote.url, patience_s=patience_s):
        raise Unavailable(remote.url, silence, remedy=remedy)
    partial = folder / f".{remote.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if fault := _copy(remote, partial, progress):
            raise Unavailable(remote.url, fault, remedy=remedy)
        os.replace(partial, folder / remote.name)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = f"the download failed ({str(error) or type(error).__name__})"
        raise Unavailable(remote.url, reason, remedy=remedy) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return folder / remote.name


def probe(url: str, *, patience_s: float) -> str:
    """Ask whether a site, or the proxy before it, takes connections.

    Name lookup cannot be given a time limit, so it runs in a thread that is left behind.

    Args:
        url: Something on the site.
        patience_s: The limit for name lookup and connection together, in seconds.

    Returns:
        An empty string if so, else a few words saying who did not answer.
    """
    try:
        host, port = _first_hop(url)
    except ValueError as error:
        return f"the proxy setting cannot be used ({error})"
    outcome = [f"{host} did not answer within {patience_s:g} s"]

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=patience_s):
                outcome[0] = ""
        except (OSError, ValueError) as error:  # ValueError: a name that no resolver can take
            outcome[0] = f"{host} did not answer ({error})"

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(patience_s)
    return outcome[0]


def _first_hop(url: str) -> tuple[str, int]:
    """The host and port that urllib will connect to: the site's, or a configured proxy's."""
    site = urlsplit(url)
    proxy = urllib.request.getproxies().get(site.scheme)
    if proxy and not urllib.request.proxy_bypass(site.hostname or ""):
        site = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return site.hostname or "", site.port or _PORTS.get(site.scheme, 80)


def _copy(remote: Remote, target: Path, progress: Progress | None) -> str:
    """Write the answer to a file; returns what is wrong with it, or an empty string."""
    digest, done = hashlib.sha256(), 0
    with (
        urllib.request.urlopen(remote.url, timeout=_SOCKET_TIMEOUT_S) as response,
        target.open("wb") as file,
    ):
        announced = response.length or 0
        while (chunk := response.read(_CHUNK_BYTES)) and done <= remote.size_bytes:
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(f"{remote.name}, bytes", min(done, remote.size_bytes), remote.size_bytes)
    if done > remote.size_bytes:
        return f"the download has more than the expected {remote.size_bytes} bytes"
    if done < announced:
        return f"the download broke off after {done} of {announced} bytes"
    if digest.hexdigest() != remote.sha256:
        return f"the download must have sha256 {remote.sha256}, got {digest.hexdigest()}"
    return ""
