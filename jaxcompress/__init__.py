"""Compress neural networks in JAX: prune, share weights, quantize, pack into one small `.npz`.

Everything is a pure function over pytrees or an optax transform; `import jaxcompress as jc`. Names
are imported when they are first used.

Files
    save                 write a tree to one `.npz` file
    load                 read ordinary arrays
    load_compressed      read the tree with its compressed leaves
    load_into            read into the structure of a template
    inspect              read the manifest of a file
    summary              what a file of a tree would hold, as a table
    size_bytes           the size of that file
    ship                 a tree and the function of it, in one file
    open_function        the function of such a file, ready to be called
    rebuild              a module at the sizes of a file
    open_file            read single tensors of a file
    compress             a trained network in one call, without data
    compress_to          a network to a budget of bytes, speed and quality
    ArtifactError        a file that is damaged, hostile, or not of this format

Leaves
    Clustered            weights that share a few values
    Half                 numbers of sixteen bits
    LowRank              a product of smaller tensors
    Quantized            integers of a grid, with their scales
    Sparse               mostly zeros
    dense                the tree with ordinary arrays
    decoded              the tree with arrays in place of its leaves and of their factors

Pruning of weights
    magnitude_mask       the smallest weights of all layers together
    global_mask          by any score, over all layers together
    layerwise_mask       by any score, within each layer
    apply_mask           exact zeros where a mask is False
    hold_mask            an optax transform that keeps zeros while training
    gradual_pruning      an optax transform that prunes while training

Pruning of units and blocks
    unit_groups          find units by tracing a function
    choose_units         which units are kept
    shrink               cut the others out of every array
    check_shrink         prove the cut
    choose_blocks        which blocks are kept
    drop_blocks          drop the others

Sharing and quantization
    kmeans               one codebook a layer
    uniform              one step size for all layers
    entropy_constrained  at the price of a bit
    share_centroids      an optax transform that trains codebooks
    quantize             integers of few bits
    calibrate            ranges of the inputs of products, on data
    quantization_aware   training through the rounding
    fit_rounding         rounding that keeps the outputs of layers
    fold_norms           norms folded into the weights before them

Low rank and distillation
    low_rank             products of two thin matrices
    distillation_loss    learn from a teacher

Running and measuring
    execute              a function on compressed leaves
    export_onnx          a function as an ONNX file
    onnx_function        an ONNX file as a function
    jit_for_inference    compile for this device
    flops                count operations
    latency_ms           measure one call
    compare_latency      measure several functions in turn
    measure_sparsity     the fraction of exact zeros
    count_parameters     numbers in a tree, as if dense

Everything else, by subject
    prune                scores, choices and proofs of pruning
    quantization         grids, ranges, bits where they matter
    lowrank              splits, ranks and decompositions
    sharing              codebooks and their prices
    distill              further losses, and logits on disk
    optim                transforms, penalties, schedules
    costs                operations, milliseconds, bytes of memory
    onnx                 functions as ONNX files, and back
    programs             functions in files
    planner              what each choice costs, and the best of all within a budget
    report               every number of a result, as data, a page and a model card
    modules              modules of other libraries at the sizes of a tree
    nnx                  modules of Flax NNX as functions
    scopes               which leaves a technique applies to
    errors               exceptions that callers may catch
    typing               types of arguments and results

For those who build on it
    leaves               the leaf types and what holds for all of them
    metrics              counts of what compression did
    artifact             files: bytes, layouts, writing whole or not at all
    packing              arrays to streams of small integers and back
    oneshot              quantizers by name, as the command offers them
    bounds               numbers refused at the boundary
    checks               trees refused at the boundary
    text                 foreign text, shown so that it can steer nothing
"""

from typing import Any

import lazy_loader

from jaxcompress._moved import MOVED

__version__ = "0.1.0"

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, or say where it has gone."""
    if name in MOVED:
        raise AttributeError(f"jc.{name} is {MOVED[name]}")
    return _attribute(name)
