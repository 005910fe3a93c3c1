"""Folders of orbax: trees, steps and managers of checkpoints, and which tree is meant."""

import os
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

import jaxcompress as jc
from tests.helpers.program import refused, run

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(step):
    return {"params": {"w": np.full((3, 4), step, "f")}}


def save(folder, steps, items=("default",), **options):
    options = ocp.CheckpointManagerOptions(**options)
    with ocp.CheckpointManager(Path(folder).absolute(), options=options) as manager:
        for step in steps:
            args = {item: ocp.args.StandardSave(tree(step)) for item in items}
            if items != ("default",):
                args = {"args": ocp.args.Composite(**args, notes=ocp.args.JsonSave({"a": 1}))}
            else:
                args = {"args": args["default"]}
            manager.save(step, **args)


def packed(name):
    said = run("pack", name, "-o", "m.npz", "--lossless").err
    return jc.load("m.npz")["params"]["w"][0, 0], said


def test_the_newest_finished_step_of_a_manager(here):
    save("run", [1, 2, 10])
    Path("run/11.orbax-checkpoint-tmp-17/default").mkdir(parents=True)
    Path("run/11.orbax-checkpoint-tmp-17/default/_METADATA").write_text("{}")
    Path("run/12").mkdir()  # nothing is in it
    value, said = packed("run")
    assert value == 10 and "run: 10 is read, the newest of 3 steps; name the folder" in said
    assert packed("run/2") == (2, "") and packed("run/2/default") == (2, "")


def test_steps_with_names_and_one_tree(here):
    save("run", [7], items=("state",), step_prefix="step", step_format_fixed_length=6)
    assert packed("run") == (7, "") and packed("run/step_000007") == (7, "")


def test_a_step_of_several_trees_names_them(here):
    save("run", [1, 2], items=("params", "opt_state"))
    for name, step in (("run", "run/2"), ("run/2", "run/2"), ("run/1", "run/1")):
        said = refused("pack", name, "-o", "m.npz")
        assert f"{step}: a step must hold one tree, got opt_state, params; name" in said
    assert packed("run/1/params")[0] == 1
    assert not Path("run.npz").exists()


def test_steps_of_several_names(here):
    save("run", [5], step_prefix="student")
    save("run", [6], step_prefix="teacher")
    said = refused("pack", "run", "-o", "m.npz")
    assert "run: steps must have one name, got student_, teacher_; name the folder of one" in said


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_out_of_the_folder(here):
    save("run", [1])
    save("other", [2])
    os.rename("run/1/default/d", "hidden")
    os.symlink("../../../hidden", "run/1/default/d")
    said = refused("pack", "run", "-o", "m.npz")
    assert "run/1/default/d: a file of a folder must lie in it, got a link to " in said


def test_a_folder_of_numbers_is_no_checkpoint(here):
    Path("run/1/2").mkdir(parents=True)
    Path("run/1/2/_OTHER").touch()
    assert "run: a folder must hold safetensors" in refused("pack", "run")
