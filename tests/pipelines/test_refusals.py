"""What `run.py` is asked and cannot do: one line, before anything is trained or written."""

import jax
import pytest

import run
from tests.helpers.commands import TINY

REFUSALS = {
    "--recipe share --sparsity 0.5": "--sparsity: the recipe has no use for it",
    "--recipe prune --clusters 4": "--clusters: the recipe has no use for it",
    "--sparsity 1.2": r"--sparsity: sparsity must be in [0, 1), got 1.2; pass the fraction",
    "--sparsity 90": "not a percentage",
    "--sparsity -0.1": "must be in [0, 1)",
    "--sparsity nan": "must be in [0, 1), got nan",
    "--recipe prune --quantizer uniform": "--quantizer: the recipe has no use for it",
    "--recipe prune --step-size 1": "--step-size: the recipe has no use for it",
    "--quantizer kmeans --step-size 1": "--step-size: the quantizer kmeans has no use for it",
    "--quantizer entropy --clusters 4": "--clusters: the quantizer entropy has no use for it",
    "--quantizer entropy --step-size 0": "--step-size: must be 0.01 to 4.0, got 0.0",
    "--quantizer uniform --step-size nan": "--step-size: must be 0.01 to 4.0, got nan",
    "--clusters 0": "--clusters: must be in 1 to 1024, got 0",
    "--epochs 0": "--epochs: must be at least 1, got 0",
    "--finetune-epochs -1": "--finetune-epochs: must be at least 1",
    "--batch-size 0": "--batch-size: must be at least 1",
    "--batch-size 5000": "--batch-size: must be at most the 256 training images, got 5000",
    "--lr 0": "--lr: must be above 0",
    "--lr inf": "--lr: must be above 0, got inf",
    "--seed -1": "--seed: must be 0 to 4294967295",
    "--limit 0": "--limit: must be at least 1",
    "--limit 5000": "at most the 1077 training images",
    "--data cifar10 --data-dir /nowhere": "/nowhere",
    "--resume": "--resume: needs --out",
    "--branches colour": "--branches: the model lenet-300-100 has no use for it; leave it out",
    "--image-size 48": "--image-size: must be one of 32 for lenet-300-100, got 48",
    "--model fruits --branches shape smell": "--branches: must be of picture, texture, edges, "
    "shape, colour, got 'smell'",
    "--model fruits --image-size 47": "--image-size: must be one of 16, 24, 32, 40, 48, 56, 64, "
    "72, 80, 88, 96 for fruits, got 47",
    "--data rendered_fruits --data-dir .": "are drawn; leave out --data-dir",
    "--data folder": "--data folder needs --data-dir",
    "--device gpu": "--device: no GPU that JAX can use was found; pass --device cpu",
    "--recipe prune --remove-channels 0.5": "--remove-channels: the recipe has no use for it",
    "--recipe share --rounds 2": "--rounds: the recipe has no use for it",
    "--recipe structured --sparsity 0.5": "--sparsity: the recipe has no use for it",
    "--recipe structured --quantizer kmeans": "--quantizer: the recipe has no use for it",
    "--recipe structured --remove-channels 50": "--remove-channels: must be in [0, 1), got 50.0; "
    "pass the",
    "--recipe structured --remove-channels 1": "leave at least one",
    "--recipe structured --remove-channels nan": "--remove-channels: must be in [0, 1), got nan",
    "--recipe structured --rounds 0": "--rounds: must be at least 1, got 0",
    "--recipe structured --round-to 0": "--round-to: must be at least 1, got 0",
    "--recipe structured --group-lasso -1": "--group-lasso: must be above 0, got -1.0; 0.0001",
    "--group-lasso 1": "--group-lasso: the recipe has no use for it",
    "--recipe distill --times-smaller 1": "--times-smaller: must be above 1, got 1.0; 8 makes",
    "--recipe distill --times-smaller 0.5": "must be above 1, got 0.5",
    "--recipe distill --times-smaller nan": "must be above 1, got nan",
    "--recipe distill --times-smaller inf": "must be above 1, got inf",
    "--recipe distill --times-smaller 5000": "--times-smaller: 5000 is not possible for the "
    "266,610 parameters of lenet-300-100 (target_params: must be at least 807",
    "--recipe distill --students 0": "--students: must be auto or 1 to 6, got 0",
    "--recipe distill --students 7": "--students: must be auto or 1 to 6, got 7",
    "--recipe distill --temperature 0": "--temperature: must be finite and above 0, got 0.0; 2 to",
    "--recipe distill --temperature inf": "--temperature: must be finite and above 0, got inf",
    "--recipe distill --temperature 1e30": "--temperature: must be in 0.001 to 10000, got 1e+30",
    "--recipe distill --soft-weight 1.5": "--soft-weight: must be in [0, 1], got 1.5",
    "--recipe distill --soft-weight nan": "--soft-weight: must be in [0, 1], got nan",
    "--recipe distill --sparsity 0.5": "--sparsity: the recipe has no use for it",
    "--times-smaller 8": "--times-smaller: the recipe has no use for it",
    "--students 2": "--students: the recipe has no use for it",
    "--temperature 2": "--temperature: the recipe has no use for it",
    "--soft-weight 0": "--soft-weight: the recipe has no use for it",
    "--model vit --recipe drop --keep-blocks 0": "the blocks of vit, got 0; pass how many to keep",
    "--model vit --recipe drop --keep-blocks 13": "--keep-blocks: must be 1 to 12",
    "--model vit --recipe drop --keep-blocks -1": "--keep-blocks: must be 1 to 12",
    "--model vit --recipe prune --keep-blocks 6": "--keep-blocks: the recipe has no use for it",
    "--model vit --recipe drop --sparsity 0.5": "--sparsity: the recipe has no use for it",
    "--model vit --recipe drop --remove-channels 0.5": "--remove-channels: the recipe has no",
    "--model lenet-5 --recipe drop": "drop needs a model with blocks to drop, got lenet-5",
    "--model resnet20 --recipe drop-random --keep-blocks 2": "pass --model vit",
    "--rewind-epoch 1": "--rewind-epoch: the recipe has no use for it; leave it out",
    "--recipe lottery": "--finetune-epochs: lottery trains its networks for --epochs; leave it out",
    "--recipe lottery --control": "--control: the recipe has no use for it; leave it out",
    "--recipe lottery --rewind-epoch -1": "--rewind-epoch: must be at least 0, got -1",
    "--recipe lottery --rewind-epoch 2": "--recipe: lottery needs a --rewind-epoch of at most 1, "
    "before training ends, got 2",
    "--recipe lottery --start x.npz": "lottery needs an early epoch of its own training, and "
    "--start has none; leave it out",
    "--recipe prune-2:4 --sparsity 0.5": "--sparsity: the recipe has no use for it",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_refused_in_one_line_before_any_training(tmp_path, monkeypatch, capsys, words):
    if "gpu" in words and any(d.platform == "gpu" for d in jax.devices()):
        pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    assert run.main([*TINY, *words.split()]) == 2
    error = capsys.readouterr().err
    assert REFUSALS[words] in error
    assert error.startswith("run.py: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing was written"
