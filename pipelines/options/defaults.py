"""Default values of settings, and the values that are allowed."""

from typing import NamedTuple


class Epochs(NamedTuple):
    """Passes over the data in the first training, and in fine-tuning after pruning."""

    train: int
    finetune: int


# As accurate as 16 clusters on validation images, in three quarters of the bytes.
DEFAULT_SPARSITY, DEFAULT_QUANTIZER, DEFAULT_CLUSTERS = 0.9, "entropy", 16
# On Fashion-MNIST's validation images at sparsities of 50 and 90 %, fine-tuned (one seed, 20 000
# training images), entropy was within 0.2 points of 16 clusters up to 0.7, uniform within 0.35.
DEFAULT_STEP = 0.6
DEFAULT_CHANNELS, LARGEST_CUT = 0.5, 0.2
DEFAULT_BITS = 8
DEFAULT_RATIO, DEFAULT_TEMPERATURE, DEFAULT_SOFT_WEIGHT = 8.0, 3.0, 0.7
MOST_STUDENTS = 6
DEFAULT_LAYOUT = "entropy"
FINEST_STEP, COARSEST_STEP = 0.01, 4.0
DEFAULT_EPOCHS = {
    # CIFAR-10: 22 epochs of 45 000 images, under 20 minutes at 1 000 images a second.
    "cifar10": Epochs(12, 8),
    "fashion_mnist": Epochs(8, 3),
    "digits": Epochs(30, 30),
    "fruits360": Epochs(4, 2),
    "folder": Epochs(10, 5),
    "rendered_fruits": Epochs(6, 4),
}
