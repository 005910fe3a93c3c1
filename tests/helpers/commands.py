"""Runs of `run.py`: what they leave, how they are refused and stopped."""

import json
import os
import signal

import run
from pipelines.run import fitting

IMPORTED = """
import os, signal, time
os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
try:
    time.sleep(30)
except BaseException:
    pass  # as some libraries do
"""
"""What a library may do while it is imported: a signal comes, and it is swallowed."""

TINY = "--model lenet-300-100 --data digits --limit 256 --epochs 2 --finetune-epochs 1".split()


def tiny(out, *more):
    """Run the smallest network on a few images."""
    return run.main([*TINY, "--out", str(out), *more])


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
    steps, original = iter(range(1000)), fitting.fit

    def interrupting(*args, **kwargs):
        for tick in original(*args, **kwargs):
            if next(steps) == stop_after:
                os.kill(os.getpid(), signal.SIGINT)
            yield tick

    monkeypatch.setattr(fitting, "fit", interrupting)
