"""Types of arguments and results of public functions.

Array              an array of JAX or numpy
ArtifactFile       an open file, read tensor by tensor
Axes               a tensor as a matrix
Bits               of an integer, for all layers or by name
BlockRule          `rule(depth, keep)` gives the positions of the blocks that are kept
Candidate          a group whose units may be removed
Change             what is done to one part of a network at a time
Check              one promise of a plan: budget, prediction and measurement
Choice             a way to let weights share values
Clustered          a tensor whose weights share a few values
Control            a network that was made in another way
ConvolutionMethod  from a kernel HWIO and a fraction of its parameters to a product
Damage             from outputs and exact outputs to a number
Decomposition      from a matrix and a rank to singular values and vectors
Estimator          decides from samples which range a grid covers
Flops              floating-point operations of one call
FoldedLayer        a product whose norm is folded
FrozenAxis         units that cannot be removed
Granularity        decides by path and leaf how many grids there are
Grid               the integers that numbers are rounded to
Half               a tensor kept in float16 or bfloat16
Histogram          how often numbers occurred
Importance         from path and leaf to the weight of its squared error
Input              one array that goes in
Keep               by name of the group `[units]` booleans, True where a unit is kept
Kinds              the dtypes that a technique is made for
Latency            the time of a call
LatencyComparison  the times of several functions
Layer              weights with the same inputs, and the moments of those inputs
LayerTime          the time of a product
LevelDensity       a mixture of logistics, with widths of rows and columns
LowRank            a tensor as a product of smaller ones
Matrix             a tensor as one matrix `W`, or as a stack of them, `[layers, m, n]`
Measure            what one unit of a group counts for
Moments            second moments of the inputs of a network's weights
NamedLeaves        paths and leaves of a tree, and how to put them together again
Net                a network as pure functions
Normalize          brings the scores of a group to a common scale
OnnxFile           the result of `export_onnx`
OpenFunction       the function of a file
Outcome            what became of a tensor
Params             nested dicts of parameters
Penalty            from parameters to a scalar
Plan               what becomes of each layer
Price              damage and bytes of what is changed
Probe              the damage of one tensor's rounding at a step size
Profile            the costs and damages of all choices
Projection         `P`, from features of the student to the width of the teacher's
Proved             a compressed network and its proof, of which a report is made
PyTree             any tree of arrays
QParams            scale and zero point: `number = scale * (integer - zero_point)`
QuantizationAware  a function with simulated integers in its products
Quantized          a tensor whose entries are integers of a grid
Quantizer          from a tree and a number of bits to the tree with `Quantized` leaves
Range              what a grid covers; the rest is clipped
Ranges             histograms of the inputs of each product, by name
RankPlan           which tensors become products, and which do not
RankRule           from the matrices to the rank of each, or the reason to keep it dense
RateAware          a function with rounded weights, and the price of their levels
RateGap            bits of a tensor's levels, and their limit
Reading            counts of the numbers of an array
Rebuild            from shapes of smaller parameters to the `apply` built for them
Recommendation     techniques, the first first
Redundancy         what a network has twice, or does not need, by layer
Report             what became of a tree
Result             a compressed network and its proof
Samples            numbers to be rounded, one row for each grid
Scope              decides by path and leaf whether a technique applies
Score              from parameters to how much each weight matters
Sensitivities      what each change costs in each place, as a table
Sensitivity        the price of each tensor at each number of bits, as a table
Shardings          where tensors go: one for all, a function, or a tree
Slice              where a group's units lie along one axis of one leaf
Sparse             a tensor whose entries are mostly zero
Split              decides by path and leaf which axes are rows
Spread             decides how many units each group loses
States             tensors of an optimizer's state among those of a file
Statistic          from `[entries, samples]` activations to a number for each entry
Stats              nested dicts of arrays that training changes without a gradient
Summary            what a file holds, as a table
Svd                `(left * values) @ right`
Task               a network, and what a planner may use
TensorRow          what a file holds of one tensor
Timing             the time of one function at one batch size
Total              what a file holds in all
Trial              parameters that are changed in one place
UnitGroup          units that look alike
UnitGroups         all groups of a function, as a table
UnitScore          from groups and parameters to a number for each unit
UnitScores         by name of the group `[units]` numbers; the smallest are removed first
WeightCalibration  what data says about the weights of a network
Weights            statistics of all weights, computed on demand
"""

from jaxcompress.artifact import ArtifactFile, Shardings, States, Summary, TensorRow, Total
from jaxcompress.costs import Flops, Latency, LatencyComparison, LayerTime, Timing
from jaxcompress.distill import Projection
from jaxcompress.kinds import Kinds
from jaxcompress.leaves import Clustered, Half, LowRank, Quantized, Sparse
from jaxcompress.lowrank import (
    Axes,
    ConvolutionMethod,
    Decomposition,
    Matrix,
    RankPlan,
    RankRule,
    Split,
    Svd,
)
from jaxcompress.nnx import Net, Params, Stats
from jaxcompress.oneshot import Choice, Outcome, Report, Weights
from jaxcompress.onnx import OnnxFile
from jaxcompress.optim import Penalty
from jaxcompress.planner import (
    Change,
    Check,
    Control,
    Plan,
    Profile,
    Recommendation,
    Redundancy,
    Result,
    Sensitivities,
    Task,
    Trial,
)
from jaxcompress.programs import Input, OpenFunction
from jaxcompress.prune import (
    BlockRule,
    Candidate,
    Keep,
    Measure,
    Normalize,
    Score,
    Spread,
    Statistic,
    UnitScore,
    UnitScores,
)
from jaxcompress.quantization import (
    Bits,
    Damage,
    Estimator,
    FoldedLayer,
    Granularity,
    Grid,
    Histogram,
    Layer,
    LevelDensity,
    Moments,
    Price,
    Probe,
    QParams,
    QuantizationAware,
    Quantizer,
    Range,
    Ranges,
    RateAware,
    RateGap,
    Reading,
    Samples,
    Sensitivity,
    WeightCalibration,
)
from jaxcompress.report import Proved
from jaxcompress.sharing import Importance
from jaxcompress.trees import Array, NamedLeaves, PyTree, Scope
from jaxcompress.units import FrozenAxis, Rebuild, Slice, UnitGroup, UnitGroups

__all__ = [
    "Array",
    "ArtifactFile",
    "Axes",
    "Bits",
    "BlockRule",
    "Candidate",
    "Change",
    "Check",
    "Choice",
    "Clustered",
    "Control",
    "ConvolutionMethod",
    "Damage",
    "Decomposition",
    "Estimator",
    "Flops",
    "FoldedLayer",
    "FrozenAxis",
    "Granularity",
    "Grid",
    "Half",
    "Histogram",
    "Importance",
    "Input",
    "Keep",
    "Kinds",
    "Latency",
    "LatencyComparison",
    "LayerTime",
    "Layer",
    "LevelDensity",
    "LowRank",
    "Matrix",
    "Measure",
    "Moments",
    "NamedLeaves",
    "Net",
    "Normalize",
    "OnnxFile",
    "OpenFunction",
    "Outcome",
    "Params",
    "Penalty",
    "Plan",
    "Price",
    "Probe",
    "Profile",
    "Projection",
    "Proved",
    "PyTree",
    "QParams",
    "QuantizationAware",
    "Quantized",
    "Quantizer",
    "Range",
    "Ranges",
    "RankPlan",
    "RankRule",
    "RateAware",
    "RateGap",
    "Reading",
    "Rebuild",
    "Recommendation",
    "Redundancy",
    "Report",
    "Result",
    "Samples",
    "Scope",
    "Score",
    "Sensitivities",
    "Sensitivity",
    "Shardings",
    "Slice",
    "Sparse",
    "Split",
    "Spread",
    "States",
    "Statistic",
    "Stats",
    "Summary",
    "Svd",
    "Task",
    "TensorRow",
    "Timing",
    "Total",
    "Trial",
    "UnitGroup",
    "UnitGroups",
    "UnitScore",
    "UnitScores",
    "WeightCalibration",
    "Weights",
]
