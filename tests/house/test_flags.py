"""Flags: none is abbreviated, an old one is told its new name, and files keep the old keys."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxcompress as jc
import run
from jaxcompress.cli.pack_options import _RENAMED as RENAMED_OF_PACK
from pipelines.options.checks import check
from pipelines.options.command import RENAMED, given, parser
from pipelines.options.plan import plan_of, recorded, recorded_1
from tests.helpers.program import refused
from tests.helpers.program import run as command

OLD = {
    "--blocks 6": "--keep-blocks",
    "--blocks -1": "--keep-blocks",
    "--channels 0.5": "--remove-channels",
    "--channels=0.5": "--remove-channels",
    "--stages auto": "--students",
    "--step 0.5": "--step-size",
    "--step=0.5": "--step-size",
    "--steps 2": "--rounds",
    "--steps": "--rounds",
    "--target-ratio 8": "--times-smaller",
}


def stopped(words, capsys):
    """What `run.py` says before it leaves."""
    with pytest.raises(SystemExit) as left:
        run.main(words.split())
    assert left.value.code == 2
    return capsys.readouterr().err


# run.py


@pytest.mark.parametrize("words", OLD)
def test_an_old_flag_is_told_its_new_name_in_one_line(words, capsys, tmp_path):
    said = stopped(f"--model cifar {words} --out {tmp_path / 'run'}", capsys)
    old, new = re.split("[ =]", words)[0], OLD[words]
    assert said == f"run.py: {old}: is called {new} now; pass {new}.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["--branches shape --steps 2", "--predict a.png --step 1"])
def test_an_old_flag_is_found_behind_a_flag_of_many_words(words, capsys):
    assert ": is called " in stopped(f"--model fruits {words}", capsys)


def test_new_names_are_flags_and_old_ones_are_not():
    flags = {flag for action in parser()._actions for flag in action.option_strings}
    assert set(RENAMED.values()) < flags and not flags & set(RENAMED)
    assert set(RENAMED) == {re.split("[ =]", words)[0] for words in OLD}


@pytest.mark.parametrize(
    "words",
    [
        "--round 2",
        "--keep 6",
        "--remove 0.5",
        "--step-s 1",
        "--student 2",
        "--times 8",
        "--spars 0",
    ],
)
def test_no_flag_is_abbreviated(words, capsys):
    assert f"unrecognized arguments: {words}" in stopped(f"--model cifar {words}", capsys)


@pytest.mark.parametrize("shown", ["--help", "--model nothing"])
def test_nothing_that_is_shown_names_an_old_flag(shown, capsys):
    with pytest.raises(SystemExit):
        run.main(shown.split())
    said = "".join(capsys.readouterr())
    assert len(said) > 1000 and not set(re.findall(r"--[a-z-]+", said)) & set(RENAMED)


# What files hold

KEYS = [
    *("model", "data", "recipe", "sparsity", "quantizer", "clusters", "step", "channels", "steps"),
    *("round_to", "blocks", "group_lasso", "image_size", "branches", "epochs", "finetune_epochs"),
    *("batch_size", "lr", "seed", "limit", "control", "layout", "bits", "weight_bits", "start"),
    *("target_ratio", "temperature", "soft_weight", "students"),
]
NEW = {"channels": "remove_channels", "steps": "rounds", "step": "step_size"}
NEW |= {"blocks": "keep_blocks", "target_ratio": "times_smaller"}
ASKED = {
    "--recipe structured+shared --remove-channels 0.25 --rounds 3 --step-size 0.4": {
        **{"channels": 0.25, "steps": 3, "step": 0.4, "blocks": 0, "target_ratio": 0.0}
    },
    "--model vit --recipe drop --keep-blocks 5": {
        **{"blocks": 5, "channels": 0.0, "steps": 0, "step": 0.0, "target_ratio": 0.0}
    },
    "--recipe distill --times-smaller 12": {
        **{"target_ratio": 12.0, "channels": 0.0, "steps": 0, "step": 0.0, "blocks": 0}
    },
}


@pytest.mark.parametrize("words", ASKED)
def test_settings_are_written_under_the_keys_of_version_1(words):
    settings = given(parser().parse_args(["--model", "cifar", *words.split()]))
    check(settings)
    plan = plan_of(settings, data="digits", train_size=256)
    written = recorded_1(plan, ())
    assert sorted(written) == sorted(KEYS)
    assert written | ASKED[words] == written
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    options = recorded(plan)
    assert json.loads(json.dumps(options, allow_nan=False)) == options
    for old, value in ASKED[words].items():  # what is not used is absent
        assert (NEW[old] in options) == bool(value)


# jaxcompress pack


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensor = np.arange(-30, 34, dtype=np.float32).reshape(8, 8)
    save_file({"a": tensor}, "m.safetensors")
    return "m.safetensors"


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["--step", "0.5"], "--step-size"),
        (["--step=0.5", "--quantizer", "uniform"], "--step-size"),
        (["--step"], "--step-size"),
        (["--low-rank", "0.5"], "--keep-low-rank"),
    ],
)
def test_pack_tells_an_old_option_its_new_name(model, words, new):
    old = words[0].split("=")[0]
    said = refused("pack", model, *words)
    assert said == f"jaxcompress: {old}: is called {new} now; pass {new}.\n"
    assert RENAMED_OF_PACK[old] == new


@pytest.mark.parametrize("word", ["--step-s", "--keep", "--keep-low", "--spars", "--ste"])
def test_pack_takes_no_abbreviation(model, word):
    assert f"No such option '{word}'" in refused("pack", model, word, 0.5)


def test_pack_names_the_flag_of_a_bad_step_size(model):
    words = ("pack", model, "--quantizer", "uniform", "--step-size")
    assert "--step-size: must be finite and above 0, got 0.0; 0.1" in refused(*words, 0)


def test_files_of_pack_keep_the_keys_of_before(model):
    command("pack", model, "-o", "s.npz", "--quantizer", "uniform", "--step-size", 0.5)
    pack = {"sparsity": 0.0, "quantizer": "uniform", "step": 0.5}
    assert jc.inspect("s.npz")["metadata"] == {"pack": pack}
    command("pack", model, "-o", "r.npz", "--keep-low-rank", 0.5, "--clusters", 4)
    pack = {"sparsity": 0.0, "quantizer": "kmeans", "clusters": 4, "low_rank": 0.5}
    assert jc.inspect("r.npz")["metadata"] == {"pack": pack}


def test_help_of_pack_names_no_old_option():
    said = command("pack", "--help").out
    shown = set(re.findall(r"--[a-z-]+", said))
    assert set(RENAMED_OF_PACK.values()) < shown and not shown & set(RENAMED_OF_PACK)
