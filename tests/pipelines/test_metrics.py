"""Lines while a run goes on: a run that was stopped leaves those of one that never was."""

import io
import json
import struct
import sys
import types

import numpy as np
import pytest

from pipelines.data.dataset import Split
from pipelines.run import boards
from pipelines.run import console as console_module
from pipelines.run.answers import keep_answers
from pipelines.run.boards import Board
from pipelines.run.metrics import Metrics
from tests.helpers.commands import TINY, refusal, tiny


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_of_what_runs_again_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path)
    metrics.start([], "baseline", 0)
    for epoch in (1, 2):
        metrics.add(stage="baseline", epoch=epoch, loss=1.0)
    metrics.add(stage="baseline", test_accuracy=0.5)
    metrics.start(["baseline"], "tuned", 0)
    for epoch in (1, 2, 3):
        metrics.add(stage="tuned", epoch=epoch, loss=0.5)
    everything = path.read_text()
    with path.open("a") as file:
        file.write('{"stage": "tuned", "epo')  # killed in the middle of a line
    metrics.start(["baseline"], "tuned", 1)
    assert [line.get("epoch") for line in written(path)] == [1, 2, None, 1]
    for epoch in (2, 3):
        metrics.add(stage="tuned", epoch=epoch, loss=0.5)
    assert path.read_text() == everything
    metrics.start([], "baseline", 0)
    assert path.read_text() == ""


def test_lines_that_a_person_wrote_are_no_fault(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('[1]\nnonsense\n{"epoch": "x"}\n')
    Metrics(path).start(["baseline"], "tuned", 0)
    assert path.read_text() == ""


def test_answers_are_kept_of_the_first_and_the_last_network(tmp_path):
    images = np.arange(20 * 12, dtype=np.uint8).reshape(20, 2, 2, 3)
    labels = np.arange(20) % 2
    dataset = type("Data", (), {"test": Split(images=images, labels=labels), "classes": ("a", "b")})
    keep_answers(tmp_path, "reloaded", labels, dataset)
    assert not list(tmp_path.iterdir()), "nothing to compare with"
    keep_answers(tmp_path, "baseline", labels, dataset)
    keep_answers(tmp_path, "pruned", 1 - labels, dataset)
    after = labels.copy()
    after[[3, 5]] = 1 - labels[[3, 5]]
    keep_answers(tmp_path, "reloaded", after, dataset)
    with np.load(tmp_path / "answers.npz") as found:
        assert found["numbers"].tolist() == [3, 5]
        np.testing.assert_array_equal(found["pictures"], images[[3, 5]])
        np.testing.assert_array_equal(found["before"], labels)
    (tmp_path / "answers.npz").write_bytes(b"of a person")
    keep_answers(tmp_path, "reloaded", after, dataset)
    assert (tmp_path / "answers.npz").read_bytes() == b"of a person"


# TensorBoard


def events(folder):
    """Tag, step and value of each scalar in the event files of a folder, in their order."""
    pb = pytest.importorskip("tensorboardX.proto.event_pb2", reason="the extra tensorboard")
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):  # TFRecord: length, checksum, event, checksum
            (length,) = struct.unpack_from("<Q", data, place)
            event = pb.Event.FromString(data[place + 12 : place + 12 + length])
            found += [(each.tag, event.step, each.simple_value) for each in event.summary.value]
            place += 16 + length
    return found


def expected(lines):
    """The same of the lines of `metrics.jsonl`."""
    found, ended = [], 0
    for line in lines:
        stage = line["stage"].replace(" ", "_").replace("+", "_")
        ended += "test_accuracy" in line
        for name in set(line) - {"stage", "step"}:
            place = (name, ended) if "test_accuracy" in line else (f"{name}/{stage}", line["step"])
            found.append((*place, line[name]))
    return found


def same(found, lines):
    assert sorted(each[:2] for each in found) == sorted(each[:2] for each in expected(lines))
    values = [each[2] for each in sorted(found)]
    np.testing.assert_allclose(values, [each[2] for each in sorted(expected(lines))], rtol=1e-6)


@pytest.mark.slow
def test_events_are_the_numbers_of_the_lines(tmp_path):
    folder = tmp_path / "run"
    assert tiny(folder, "--tensorboard") == 0
    lines = written(folder / "metrics.jsonl")
    assert len(lines) > 5
    same(events(folder / "tensorboard"), lines)


def test_events_of_a_run_that_goes_on_are_those_of_one_that_never_stopped(tmp_path):
    path, folder = tmp_path / "metrics.jsonl", tmp_path / "tensorboard"
    for epochs in ((1, 2, 3), (2, 3)):  # stopped after the checkpoint of epoch 1
        board = Board(folder)
        metrics = Metrics(path, board)
        metrics.start([], "a + b", 1 if epochs[0] == 2 else 0)
        for epoch in epochs:
            metrics.add(stage="a + b", epoch=epoch, step=10 * epoch, loss=1 / epoch)
        board.close()
    assert len(list(folder.iterdir())) == 1
    same(events(folder), written(path))


def test_without_the_library_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(boards, "find_spec", lambda name: None)
    said = refusal([*TINY, "--tensorboard"], tmp_path, capsys)
    assert said == (
        "run.py: --tensorboard: needs tensorboardX, which is not installed; pip install -e "
        "'.[run,tensorboard]'.\n"
    )


# Progress


class Kernel:
    """What `get_ipython` returns in a notebook."""

    kernel = object()


def in_cell(monkeypatch, shell):
    """What a console writes of a task of three steps, with this shell around it."""
    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(console_module, "_BAR_INTERVAL_S", 0.0)
    out = io.StringIO()
    console = console_module.Console(out)
    console.line("before")
    with console.progress("tuned", 3) as update:
        for step in (1, 2, 3):
            update(step, lambda step=step: f"loss {'1' * (4 - step)}\x1b")
    console.line("after")
    return out.getvalue()


def test_progress_in_a_notebook_is_one_line_that_changes(monkeypatch):
    written = in_cell(monkeypatch, Kernel())
    assert written.count("\n") == 2 and "\x1b" not in written, "as a kernel shows it"
    first, *shown, last = written.split("\r")
    assert first == "before\n" and last == "after\n"
    texts = [part.rstrip() for part in shown if part.strip()]
    assert [text.split(",")[0] for text in texts] == [
        "tuned: 1/3 loss 111\\x1b",
        "tuned: 2/3 loss 11\\x1b",
        "tuned: 3/3 loss 1\\x1b",
    ]
    assert len(shown[1]) >= len(texts[0]), "nothing of a longer text is left"
    assert not shown[-1].strip() and len(shown[-1]) >= len(texts[-1])


def test_without_a_kernel_lines_stay_lines(monkeypatch):
    for shell in (None, object()):
        assert in_cell(monkeypatch, shell) == "before\nafter\n", "none is due for ten seconds"
