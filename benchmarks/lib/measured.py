"""The code that several records depend on."""

FILES = ("jaxcompress/artifact", "jaxcompress/leaves", "jaxcompress/packing")
SHARING = ("jaxcompress/sharing", "jaxcompress/oneshot/_sharing.py")
MASKS = (
    "jaxcompress/optim/_masking.py",
    "jaxcompress/prune/_controls.py",
    "jaxcompress/prune/_scores.py",
    "jaxcompress/prune/masks.py",
    "jaxcompress/prune/select.py",
    "jaxcompress/trees.py",
)
UNITS = ("jaxcompress/prune", "jaxcompress/trace", "jaxcompress/units")
INTEGERS = ("jaxcompress/products", "jaxcompress/quantization", "jaxcompress/rewrite")
TRAINING = (
    "nets/families.py",
    "nets/layers.py",
    "pipelines/data/augment.py",
    "pipelines/models/examples.py",
    "pipelines/models/table.py",
    "pipelines/stages/training.py",
    "pipelines/models/train.py",
)
"""Training of all networks, by pipelines."""
