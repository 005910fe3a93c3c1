"""Runs of `run.py`: what they leave, how they are refused and stopped."""

import json
import os
import signal

import run
from pipelines import job as job_module


def results_of(out):
    """What a run wrote of itself."""
    return json.loads((out / "results.json").read_text())


def refusal(words, folder, capsys):
    """The one line that a run is refused with, before it makes its folder."""
    out = folder / "run"
    assert run.main([*words, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not out.exists()
    return error


def interrupt_at(monkeypatch, stop_after):
    """Send Ctrl-C after so many steps of training, of whatever stage."""
    steps, original = iter(range(1000)), job_module.fit

    def interrupting(*args, **kwargs):
        for tick in original(*args, **kwargs):
            if next(steps) == stop_after:
                os.kill(os.getpid(), signal.SIGINT)
            yield tick

    monkeypatch.setattr(job_module, "fit", interrupting)
