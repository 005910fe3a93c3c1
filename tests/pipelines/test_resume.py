"""`--resume`: outputs that are missing or damaged come back, and a run killed early starts anew."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run.folder import FolderError, claim, locked, read_json
from pipelines.stages.files import read_plain
from tests.helpers.commands import results_of, tiny

pytestmark = pytest.mark.slow  # whole runs and processes

ROOT = Path(__file__).parents[2]
MINE = ("--control", "--seed", "3")


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def outputs(folder):
    """Name and bytes of all that stages wrote."""
    paths = [*folder.glob("*.npz"), *folder.glob("stages/*.npz")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def check_whole(copy, finished, capsys, *said):
    """The run ends well, with the bytes of the first time."""
    assert tiny(copy, *MINE, "--resume") == 0
    out = capsys.readouterr().out
    for text in said:
        assert text in out.replace("\n", " ")
    assert outputs(copy) == outputs(finished)
    rows = [{key: row[key] for key in ("name", "sha256", "accuracy")} for row in stages(copy)]
    assert rows == [{key: row[key] for key in rows[0]} for row in stages(finished)]
    assert tiny(copy, *MINE, "--resume") == 0
    assert "***" not in capsys.readouterr().out, "nothing is left to mend"


def stages(folder):
    return results_of(folder)["stages"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


HARM = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flipped": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another": lambda path: shutil.copy(path.parent.parent / "run" / "stages/pruned.npz", path),
    "a dead link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_compressed_file_comes_back(copy, finished, capsys, harm):
    """From the stage before it, whose file has the same bytes."""
    HARM[harm](copy / "compressed.npz")
    fault = "is missing" if harm in ("removed", "a dead link") else "is damaged"
    check_whole(copy, finished, capsys, f"compressed.npz {fault}; written again, the same bytes")


def test_the_file_of_the_last_stage_comes_back_from_the_state_in_hand(copy, finished, capsys):
    (copy / "stages" / "control.npz").unlink()
    check_whole(copy, finished, capsys, "control.npz is missing; written again, the same bytes")


def test_two_files_of_the_same_bytes_come_back_from_an_earlier_state(copy, finished, capsys):
    for name in ("compressed.npz", "stages/shared_tuned.npz"):
        flip(copy / name)
    check_whole(copy, finished, capsys, "compressed.npz is damaged; its stage must run again")


def test_an_early_file_comes_back_by_its_stage(copy, finished, capsys):
    (copy / "stages" / "pruned.npz").unlink()
    check_whole(
        copy,
        finished,
        capsys,
        "pruned.npz is missing; its stage must run again",
        "resumed at stage 'pruned'",
    )


def test_a_folder_of_files_comes_back(copy, finished, capsys):
    shutil.rmtree(copy / "stages")
    (copy / "compressed.npz").unlink()
    check_whole(copy, finished, capsys, "resumed at stage 'pruned'")


@pytest.mark.parametrize("harm", ["removed", "flipped"])
def test_without_the_baseline_all_is_trained_again(copy, finished, capsys, harm):
    HARM[harm](copy / "baseline.npz")
    check_whole(copy, finished, capsys, "baseline.npz ", "starting at 'baseline' again")


def test_files_and_checkpoints_may_be_damaged_together(copy, finished, capsys):
    newest, older = sorted(copy.glob("checkpoints/*.json"), reverse=True)
    flip(newest)
    flip(copy / "compressed.npz")
    check_whole(
        copy, finished, capsys, f"checkpoint {newest.stem} is damaged", "trying the one before"
    )
    assert not older.exists() or read_json(older)


def test_without_any_sound_checkpoint_it_starts_again(copy, finished, capsys):
    for path in copy.glob("checkpoints/*.json"):
        path.write_text("{")
    check_whole(copy, finished, capsys, "nothing to go on from is sound")


def test_a_checkpoint_of_another_program_is_refused(copy, capsys):
    newest = max(copy.glob("checkpoints/*.json"))
    newest.write_text(json.dumps({"digest": "", "arrays": [], "notes": {}}))
    before = outputs(copy)
    assert tiny(copy, *MINE, "--resume") == 2
    error = capsys.readouterr().err
    assert "is of format 1" in error and "another --out" in error and error.count("\n") == 1
    assert outputs(copy) == before


@pytest.mark.parametrize("name", ["compressed.npz", "settings.json", "log.txt", ".holder"])
def test_pipes_in_the_place_of_files_are_refused_at_once(copy, capsys, name):
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    assert tiny(copy, *MINE, "--resume") == 2
    error = capsys.readouterr().err
    assert name in error and "pipe" in error and error.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04" + bytes(30)])
def test_a_baseline_that_is_damaged_meanwhile_is_named(tmp_path, content):
    (tmp_path / "baseline.npz").write_bytes(content)
    with pytest.raises(FolderError, match="baseline.npz: is damaged .*; pass --resume"):
        read_plain(tmp_path / "baseline.npz")


# A folder in the making

SETTINGS = {"a": 1}

KILLED = """
import os, sys
from pathlib import Path
from pipelines.run.folder import claim, locked

root, limit = Path(sys.argv[1]), int(sys.argv[2])
hooked = []

def kill(event, arguments):
    if hooked and event in ("open", "os.mkdir", "os.rename", "os.remove", "os.chmod"):
        hooked.append(event)
        if len(hooked) > hooked[0]:
            os._exit(9)

sys.addaudithook(kill)
for point in range(1, limit):
    child = os.fork()
    if not child:
        hooked.append(point)
        with locked(root / str(point)) as folder:
            claim(folder, {"a": 1}, resume=False)
        os._exit(0)
    if not os.waitpid(child, 0)[1]:
        break
print(point)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder for each moment at which a process was killed that made it."""
    root = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(root), "100"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    points = range(1, int(done.stdout))
    assert 5 < len(points) < 90
    return [root / str(point) for point in points]


def test_a_folder_killed_in_the_making_is_taken_by_a_new_run(killed, tmp_path):
    claimed = 0
    for folder in killed:
        if folder.exists():
            folder = shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
        else:
            folder = tmp_path / folder.name
        resume = (folder / "settings.json").exists()
        claimed += resume
        with locked(folder):
            claim(folder, SETTINGS, resume=resume)
        names = sorted(path.name for path in folder.iterdir())
        assert names in ([".lock", "settings.json"], ["settings.json"])
        assert read_json(folder / "settings.json") == SETTINGS
    assert 0 < claimed < len(killed)


def test_a_folder_killed_in_the_making_holds_nothing_to_resume(killed, tmp_path):
    for folder in killed:
        if not folder.exists() or (folder / "settings.json").exists():
            continue
        folder = shutil.copytree(folder, tmp_path / folder.name)
        with locked(folder), pytest.raises(FolderError, match="no run to resume; leave --resume"):
            claim(folder, SETTINGS, resume=True)


def test_an_empty_settings_file_is_none(tmp_path):
    (tmp_path / "settings.json").write_text("")
    with pytest.raises(FolderError, match="holds no run to resume"):
        claim(tmp_path, SETTINGS, resume=True)
    claim(tmp_path, SETTINGS, resume=False)
    assert read_json(tmp_path / "settings.json") == SETTINGS


def test_a_temporary_file_that_cannot_be_removed_is_nothing_of_value(tmp_path):
    """As where the file system has no locks, so that nobody knows whether its writer lives."""
    (tmp_path / ".settings.json.0123456789abcdef.jaxcompress-tmp").write_text("{")
    claim(tmp_path, SETTINGS, resume=False)
    assert read_json(tmp_path / "settings.json") == SETTINGS


@pytest.mark.parametrize("name", ["settings.json", ".lock", "mine.txt"])
def test_files_of_somebody_else_are_left_alone(tmp_path, name):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / name).touch()
    with locked(tmp_path), pytest.raises(FolderError, match=r"other files \(mine.txt\)"):
        claim(tmp_path, SETTINGS, resume=False)
    assert (tmp_path / "mine.txt").read_text() == "precious"


BROKEN = {
    "no object": "[]",
    "half": "{",
    "null": "null",
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "no UTF-8": b"\xff\xfe\x00",
    "zeros": bytes(9),
    "a number without end": "9" * 5000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_settings_are_refused_in_one_line(tmp_path, capsys, name):
    content = BROKEN[name]
    (tmp_path / "settings.json").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    assert tiny(tmp_path, "--resume") == 2
    error = capsys.readouterr().err
    assert "settings.json: not readable (" in error and error.count("\n") == 1
    assert len(error) < 1000


def test_leftovers_of_killed_writers_go(copy, capsys):
    left = [copy / place / ".x.npz.0123456789abcdef.jaxcompress-tmp" for place in (".", "stages")]
    for path in left:
        path.write_bytes(bytes(9))
    orphan = copy / "checkpoints" / "000099"
    orphan.mkdir()
    mine = copy / "stages" / "mine.tmp"
    mine.write_text("precious")
    assert tiny(copy, *MINE, "--resume") == 0
    assert not any(path.exists() for path in (*left, orphan)) and mine.exists()
