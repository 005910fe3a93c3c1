"""Lines while a run goes on: a run that was stopped leaves those of one that never was."""

import json

import numpy as np

from pipelines.data.dataset import Split
from pipelines.run.answers import keep_answers
from pipelines.run.metrics import Metrics


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
