import hashlib
import http.server
import os
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from tests.datasets.archives import TOP, small_data_set, sums_text, write_archive, write_folder
from topodl.datasets import TopoMortar, _download
from topodl.errors import InputError

CONTENT = small_data_set()
read_published_files = _download.published_files


@pytest.fixture(autouse=True)
def small_sums(monkeypatch):
    """Expect the files of the small data set instead of the published ones."""
    files = {
        path: _download.PublishedFile(hashlib.sha256(data).hexdigest(), len(data))
        for path, data in CONTENT.items()
    }
    monkeypatch.setattr(_download, "published_files", lambda: files)


def fetch(root: Path, url: str, **options: str) -> TopoMortar:
    return TopoMortar(root, download=True, url=url, **options)


def assert_complete(root: Path) -> None:
    found = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert found == CONTENT


def assert_nothing_left(root: Path) -> None:
    assert not root.exists()
    assert not list(root.parent.glob(".*"))


def test_the_embedded_sums_are_those_of_the_full_data_set(shared):
    published = read_published_files()
    lines = (shared / "data" / "topomortar" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {path: file.sha256 for path, file in published.items()} == {
        path: sha256 for sha256, path in (line.split() for line in lines)
    }
    assert len(published) == 984


def test_the_address_pins_a_full_commit():
    assert _download.DATA_URL.startswith("https://github.com/jmlipman/TopoMortar/archive/")
    assert len(_download.DATA_URL.rsplit("/", 1)[1].split(".")[0]) == 40


def test_a_download_brings_every_file_and_nothing_else(tmp_path, capsys):
    root = tmp_path / "deep" / "data"
    data = fetch(root, write_archive(tmp_path / "a.tar.gz", CONTENT))
    assert len(data) == 3
    assert_complete(root)
    assert "TopoMortar: 100%" in capsys.readouterr().err
    assert [p.name for p in root.parent.iterdir()] == ["data"]


def test_a_second_call_does_nothing(tmp_path):
    root = tmp_path / "data"
    fetch(root, write_archive(tmp_path / "a.tar.gz", CONTENT))
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert len(fetch(root, "file:///nowhere/at/all", split="test")) == 4
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_an_empty_folder_and_a_partial_one_are_completed(tmp_path):
    url = write_archive(tmp_path / "a.tar.gz", CONTENT)
    (tmp_path / "empty").mkdir()
    fetch(tmp_path / "empty", url)
    assert_complete(tmp_path / "empty")
    write_folder(tmp_path / "part", dict(list(CONTENT.items())[::2]))
    (tmp_path / "part" / "notes.txt").write_text("mine", encoding="utf-8")
    fetch(tmp_path / "part", url)
    assert (tmp_path / "part" / "notes.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "part" / "notes.txt").unlink()
    assert_complete(tmp_path / "part")


def test_a_changed_file_on_disk_is_named_and_not_overwritten(tmp_path):
    root = tmp_path / "data"
    url = write_archive(tmp_path / "a.tar.gz", CONTENT)
    fetch(root, url)
    path = root / "train" / "noisy" / "002.png"
    changed = bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    path.write_bytes(changed)
    with pytest.raises(InputError, match=r"002\.png differs from the published file; remove it"):
        fetch(root, url)
    assert path.read_bytes() == changed
    path.unlink()
    fetch(root, url)
    assert_complete(root)


@pytest.mark.parametrize("data", [b"other", b"x" * 10_000_000])
def test_a_changed_file_in_the_archive_is_refused(tmp_path, data):
    root = tmp_path / "data"
    url = write_archive(tmp_path / "a.tar.gz", CONTENT | {"val/pseudo/004.png": data})
    with pytest.raises(InputError, match=r"val/pseudo/004\.png in file://.* differs from the published file"):
        fetch(root, url)
    assert_nothing_left(root)


def test_an_archive_that_lacks_files_is_refused(tmp_path):
    root = tmp_path / "data"
    without = {path: data for path, data in CONTENT.items() if path != "test/images/005.png"}
    with pytest.raises(InputError, match=rf"lacks 1 of {len(CONTENT)} files, such as test/images/005\.png"):
        fetch(root, write_archive(tmp_path / "a.tar.gz", without))
    assert_nothing_left(root)
    with pytest.raises(InputError, match=f"lacks {len(CONTENT)} of"):
        fetch(root, write_archive(tmp_path / "b.tar.gz", {}))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_archive_is_refused_and_a_later_call_succeeds(tmp_path, share):
    root, archive = tmp_path / "data", tmp_path / "a.tar.gz"
    url = write_archive(archive, CONTENT)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"is not a complete tar archive|lacks \d+ of"):
        fetch(root, url)
    assert_nothing_left(root)
    archive.write_bytes(whole)
    fetch(root, url)
    assert_complete(root)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped.txt"),
        member(f"{TOP}/dataset/../../../escaped.txt"),
        member("/tmp/topodl-escaped.txt"),
        member("C:/escaped.txt"),
        member("..\\escaped.txt"),
        member(f"{TOP}/dataset/link", tarfile.SYMTYPE, "../../.."),
        member(f"{TOP}/dataset/link", tarfile.LNKTYPE, "/etc/passwd"),
        member(f"{TOP}/dataset/pipe", tarfile.FIFOTYPE),
        member(f"{TOP}/dataset/device", tarfile.CHRTYPE),
    ],
)
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path, bad):
    root = tmp_path / "inner" / "data"
    with pytest.raises(InputError, match="is refused, because its member"):
        fetch(root, write_archive(tmp_path / "a.tar.gz", CONTENT, [bad]))
    assert_nothing_left(root)
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("url", ["file:///nowhere/a.tar.gz", "no-scheme", "gopher://example.org/a"])
def test_an_address_that_cannot_be_fetched_is_named(tmp_path, url):
    with pytest.raises(InputError, match=f"cannot fetch {url}: "):
        fetch(tmp_path / "data", url)
    assert_nothing_left(tmp_path / "data")


class _BrokenAnswer(http.server.BaseHTTPRequestHandler):
    """Says that a hundred bytes come, or how much each line is, and stops."""

    def do_GET(self):
        self.wfile.write({
            "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnothing like it",
            "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnone",
            "/status": b"not HTTP at all\r\n\r\n",
        }[self.path])  # fmt: skip

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("answer", ["short", "chunks", "status"])
def test_a_server_that_breaks_off_is_named(tmp_path, answer):
    with http.server.HTTPServer(("127.0.0.1", 0), _BrokenAnswer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{answer}"
        with pytest.raises(InputError, match=rf"(cannot fetch )?{url}( is not a complete tar archive)?: "):
            fetch(tmp_path / "data", url)
    assert_nothing_left(tmp_path / "data")


def test_a_root_that_can_be_no_folder_is_named(tmp_path):
    url = write_archive(tmp_path / "a.tar.gz", CONTENT)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"root is .*file', a file or a link .*; expected a folder"):
        fetch(tmp_path / "file", url)
    with pytest.raises(InputError, match=r"root is .*, beside which nothing can be written"):
        fetch(tmp_path / "file" / "below", url)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_root_that_is_a_dangling_link_is_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"root is .*link', a file or a link that leads nowhere"):
        fetch(tmp_path / "link", write_archive(tmp_path / "a.tar.gz", CONTENT))


_KILLED = """
import sys, time
from topodl.datasets import _download
from pathlib import Path

def read():
    rows = [line.split() for line in Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()]
    return {path: _download.PublishedFile(sha256, int(size)) for sha256, size, path in rows}

_download.published_files = read
copy = _download._copy
def slow_copy(source, target, size):
    digest = copy(source, target, size)
    print(target, flush=True)
    time.sleep(0.5)
    return digest
_download._copy = slow_copy
_download.download_topomortar(Path(sys.argv[1]), sys.argv[2])
"""


def test_a_killed_download_leaves_nothing_to_trust(tmp_path):
    root, sums = tmp_path / "data", tmp_path / "sums.txt"
    sums.write_text(sums_text(CONTENT), encoding="utf-8")
    url = write_archive(tmp_path / "a.tar.gz", CONTENT)
    command = [sys.executable, "-c", _KILLED, str(root), url, str(sums)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    for _ in range(3):  # three files are unpacked
        assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    assert not root.exists()
    with pytest.raises(InputError, match="which is no folder"):
        TopoMortar(root)
    leftovers = list(tmp_path.glob(".data-download-*"))
    assert len(leftovers) == 1
    fetch(root, url)
    assert_complete(root)

    # What a killed download has left goes when it is a day old.
    (root / "train" / "images" / "001.png").unlink()
    day_ago = time.time() - 25 * 3600
    os.utime(leftovers[0], (day_ago, day_ago))
    fetch(root, url)
    assert not list(tmp_path.glob(".data-download-*"))


def test_another_process_that_was_faster_is_no_error(tmp_path, monkeypatch):
    root = tmp_path / "data"
    url = write_archive(tmp_path / "a.tar.gz", CONTENT)
    unpack = _download._unpack

    def unpack_and_lose(*arguments):
        unpack(*arguments)
        write_folder(root, CONTENT)

    monkeypatch.setattr(_download, "_unpack", unpack_and_lose)
    fetch(root, url)
    assert_complete(root)
