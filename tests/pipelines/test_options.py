"""The table of options: who owns and uses each, what is refused, and what is made of it."""

import inspect
import json
import shlex
from pathlib import Path

import pytest

from pipelines.data import DATASETS
from pipelines.errors import SettingsError
from pipelines.models import MODELS, choices
from pipelines.options import every_run, page
from pipelines.options.checks import check
from pipelines.options.command import given, parser
from pipelines.options.option import GROUPS, KINDS, Option
from pipelines.options.plan import command_of, planned, recorded, recorded_1
from pipelines.options.plan import plan_of as plan_from
from pipelines.options.settings import Settings
from pipelines.options.table import OF_RECIPES, OPTIONS, settings_of
from pipelines.stages import table
from pipelines.stages.table import FAMILIES, RECIPES


def plan_of(**asked):
    return planned(**{"train_size": 1000, "data": "digits", "model": "cifar"} | asked)


# The table


def test_every_option_and_recipe_is_owned_once():
    owned = [choices.MODEL, every_run.RECIPE, every_run.CONTROL]
    for name, found in inspect.getmembers(every_run):
        owned += found if name.endswith("_OPTIONS") else ()
    owned += choices.OPTIONS
    owned += [option for family in FAMILIES for option in family.OPTIONS]
    names = [option.name for option in owned]
    assert sorted(names) == sorted(OPTIONS)
    recipes = [name for family in FAMILIES for name in family.RECIPES]
    assert sorted(recipes) == sorted(RECIPES)


def test_every_file_of_recipes_is_a_row():
    files = Path(table.__file__).parent.glob("*.py")
    families = {path.stem for path in files if "\nRECIPES = {" in path.read_text()}
    assert families == {family.__name__.rpartition(".")[2] for family in FAMILIES}


def test_options_are_of_known_kinds_and_groups_and_of_some_recipe():
    named = {name for recipe in RECIPES.values() for name in recipe.options}
    assert named == set(OF_RECIPES)
    for option in OPTIONS.values():
        assert option.kind in KINDS and option.group in GROUPS and option.help
        assert option.of_run or not option.recorded
    keys = [option.recorded for option in OPTIONS.values() if option.recorded]
    assert len(set(keys)) == len(keys)


# Settings


def test_settings_hold_what_was_given_and_do_not_change():
    settings = Settings(model="m", start=None, sparsity=0.5)
    assert dict(settings) == {"model": "m", "sparsity": 0.5} and settings.get("start") is None
    assert dict(settings.but(sparsity=None, seed=3)) == {"model": "m", "seed": 3}
    assert settings == Settings(sparsity=0.5, model="m") != settings.but(sparsity=0.6)
    with pytest.raises(AttributeError, match="start: is not among the settings of this run"):
        _ = settings.start
    with pytest.raises(AttributeError, match="sparsity: settings do not change"):
        settings.sparsity = 0.9
    assert repr(settings) == "Settings(model='m', sparsity=0.5)"


def test_options_nobody_knows_are_no_settings():
    for name in ("sparsities", "out", "predict"):
        with pytest.raises(TypeError, match=f"{name}: is no option of a run"):
            settings_of(model="cifar", **{name: 1})


def test_only_what_is_given_is_read_from_the_command_line():
    words = "--model fruits --branches shape colour --students auto --out here --seed 4"
    settings = given(parser().parse_args(words.split()))
    every = {"recipe", "batch_size", "lr", "seed", "layout", "data"}
    assert set(settings) == {"model", "branches", *every}
    assert (settings.branches, settings.seed) == (("shape", "colour"), 4)


# Plans

USED = {
    "prune": {"sparsity"},
    "share": {"quantizer", "step_size"},
    "lottery": {"sparsity", "rounds", "rewind_epoch"},
    "structured": {"remove_channels", "rounds", "round_to"},
    "drop": {"keep_blocks", "temperature", "soft_weight"},
    "distill": {"times_smaller", "students", "temperature", "soft_weight"},
    "int8": {"bits", "weight_bits"},
}
EVERY = {"model", "recipe", "control", "data", "image_size", "epochs", "finetune_epochs"}
EVERY |= {"batch_size", "lr", "seed", "layout"}


@pytest.fixture(autouse=True)
def _with_libraries(monkeypatch):
    monkeypatch.setattr("pipelines.stages.integers.find_spec", bool)


@pytest.mark.parametrize("recipe", USED)
def test_a_plan_has_what_is_used_and_no_more(recipe):
    model = "vit" if recipe == "drop" else "cifar"
    plan = plan_of(recipe=recipe, model=model)
    assert set(plan) == EVERY | USED[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_plan_is_json_in_both_forms(recipe):
    for model in MODELS if "drop" not in recipe else ["vit"]:
        budget = {"size": "9KB"} if "size" in RECIPES[recipe].options else {}
        plan = plan_of(recipe=recipe, model=model, limit=500, **budget)
        for written in (recorded(plan), recorded_1(plan, [])):
            assert json.loads(json.dumps(written, allow_nan=False)) == written
        assert set(recorded_1(plan, [])) >= {"channels", "steps", "students", "target_ratio"}


def test_settings_of_version_1_are_all_there_whatever_is_used():
    unused = {
        "quantizer": None,
        "clusters": 0,
        "step": 0.0,
        "channels": 0.0,
        "steps": 0,
        "round_to": 1,
        "blocks": 0,
        "group_lasso": 0.0,
        "branches": [],
        "limit": None,
        "bits": 0,
        "weight_bits": 0,
        "start": None,
        "target_ratio": 0.0,
        "temperature": 0.0,
        "soft_weight": 0.0,
        "students": [],
    }
    used = {
        "model": "cifar",
        "data": "digits",
        "recipe": "prune",
        "sparsity": 0.9,
        "image_size": 32,
        "epochs": 30,
        "finetune_epochs": 30,
        "batch_size": 64,
        "lr": 1e-3,
        "seed": 0,
        "control": False,
        "layout": "entropy",
    }
    assert recorded_1(plan_of(recipe="prune"), []) == used | unused
    shared = recorded_1(plan_of(recipe="distill+shared"), [{"widths": [1]}])
    sharing = {"quantizer": "entropy", "step": 0.6, "target_ratio": 8.0, "temperature": 3.0}
    distilling = {"soft_weight": 0.7, "students": [{"widths": [1]}], "recipe": "distill+shared"}
    assert shared == used | unused | sharing | distilling


def test_fixed_options_have_their_value_and_are_refused():
    assert plan_of(recipe="int8").bits == 8
    with pytest.raises(SettingsError, match="--bits: the recipe has no use for it"):
        plan_of(recipe="int8", bits=8)


def test_branches_are_in_the_order_of_the_model():
    assert plan_of(model="fruits", branches=["colour", "shape"]).branches == ("shape", "colour")
    assert "branches" not in plan_of()


def test_the_folder_of_the_data_and_the_device_decide_nothing(tmp_path):
    assert "data_dir" not in plan_of(data_dir=tmp_path)


def test_every_dataset_has_epochs():
    assert set(every_run.DEFAULT_EPOCHS) == set(DATASETS)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": "none"}, "--model: must be one of cifar, .*, got 'none'"),
        ({"recipe": "none"}, r"--recipe: must be one of prune\+share, .*, got 'none'"),
        ({"layout": "zip"}, "--layout: must be one of csr, packed, entropy, got 'zip'"),
        ({"recipe": "drop"}, "--recipe: drop needs a model with blocks to drop, got cifar; pass"),
        ({"batch_size": 0}, "--batch-size: must be at least 1, got 0"),
        ({"start": Path("nowhere")}, "--start: nowhere is no file; pass a compressed.npz"),
    ],
)
def test_wrong_options_are_refused_in_one_line(asked, message):
    with pytest.raises(SettingsError, match=message):
        check(settings_of(**{"model": "cifar"} | asked))


# Pages


def test_pages_name_every_flag_recipe_and_key():
    flags = "\n".join(page.flags())
    assert all(f"| `{option.flag}" in flags for option in OPTIONS.values())
    recipes = page.recipes()
    assert len(recipes) == len(RECIPES) + 2
    assert any(row.startswith("| `share` |") and "`--quantizer`" in row for row in recipes)
    fields = "\n".join(page.result_fields())
    assert "  - `channels` is `--remove-channels`, 0.0 where it is not used." in fields
    assert "  - `start` is null where it was not given." in fields
    assert "`seed` is" not in fields


def test_cells_hold_no_bars():
    for lines in (page.flags(), page.recipes()):
        assert len({line.count("|") for line in lines}) == 1


def test_a_new_option_needs_a_row_and_no_more(monkeypatch):
    """The command line, plans and pages have it; files of version 1 do not name it."""
    row = Option(name="new_number", kind="whole", default=7, bounds=(1, 9), help="says so")
    monkeypatch.setitem(OPTIONS, "new_number", row)
    asked = given(parser().parse_args(["--model", "cifar", "--new-number", "5"]))
    plan = plan_of(new_number=asked.new_number)
    assert plan.new_number == recorded(plan)["new_number"] == 5
    assert plan_of().new_number == 7 and "new_number" not in recorded_1(plan, [])
    assert any("`--new-number`" in line for line in page.flags())
    with pytest.raises(SettingsError, match="--new-number: must be 1 to 9, got 10"):
        plan_of(new_number=10)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"size": 9000, "drop": 1.0, "seed": 3},
        {"recipe": "distill", "control": True},
        {"model": "fruits", "data": "rendered_fruits", "branches": ("colour", "shape")},
        {"quantizer": "uniform", "limit": 100, "start": Path("a file.npz")},
    ],
    ids=str,
)
def test_the_command_of_a_plan_makes_that_plan(asked, tmp_path, monkeypatch):
    """In the folder of the file that it starts from, as no folder is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file.npz").touch()
    full = {name: tmp_path / value for name, value in asked.items() if name == "start"}
    plan = plan_of(**asked | full)
    words = shlex.split(command_of(plan))
    assert words[:2] == ["python", "run.py"] and not any("/" in word for word in words)
    settings = given(parser().parse_args(words[2:]))
    check(settings)
    again = plan_from(settings, data=plan.data, train_size=1000)
    assert dict(again) == dict(plan) | ({"start": Path("a file.npz")} if "start" in plan else {})
