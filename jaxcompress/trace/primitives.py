"""The kind of each primitive, and its number of floating-point operations.

A new primitive is one row, or one name in a row. The kind selects the rules: which units belong
together, which parts of operands are used, what may be computed ahead, and what is not understood.
"""

from typing import NamedTuple


class Primitive(NamedTuple):
    """Kind and cost of a primitive.

    Attributes:
        kind: primitives of a kind share their rules.
        operations: what is counted: "entries" of the result, entries "read", "windows" of each
            entry, "updates"; or the operations of a "product", a "convolution", a "transform"; or
            nothing, "free".
    """

    kind: str
    operations: str


_TABLE = """
elementwise   entries      abs acos acosh add add_any asin asinh atan atan2 atanh bessel_i0e
elementwise   entries      bessel_i1e cbrt ceil clamp cos cosh digamma div erf erf_inv erfc exp exp2
elementwise   entries      expm1 floor igamma igamma_grad_a igammac integer_pow lgamma log log1p
elementwise   entries      logistic max min mul neg nextafter polygamma pow reciprocal
elementwise   entries      regularized_incomplete_beta rem round rsqrt sign sin sinh sqrt square sub
elementwise   entries      tan tanh zeta
elementwise   free         and clz complex conj convert_element_type copy copy_p eq ge gt imag
elementwise   free         is_finite le lt mulhi name ne not or population_count real
elementwise   free         reduce_precision select_n shift_left shift_right_arithmetic
elementwise   free         shift_right_logical stop_gradient xor
passing       free         optimization_barrier sharding_constraint device_put
reduction     read         reduce_sum reduce_max reduce_min reduce_prod
reduction     free         reduce_and reduce_or reduce_xor
arg_reduction read         argmax argmin
cumulative    read         cummax cummin cumprod cumlogsumexp
cumsum        read         cumsum
window        windows      reduce_window reduce_window_sum reduce_window_max reduce_window_min
fft           transform    fft
sort          free         sort
top_k         free         top_k
bitcast       free         bitcast_convert_type
broadcast     free         broadcast_in_dim
iota          free         iota
reshape       free         reshape
squeeze       free         squeeze
stack         free         stack
tile          free         tile
transpose     free         transpose
unstack       free         unstack
concatenate   free         concatenate
pad           free         pad
reverse       free         rev
slice         free         slice
split         free         split
dynamic_slice free         dynamic_slice
dynamic_update free        dynamic_update_slice
gather        free         gather
scatter       free         scatter
scatter       updates      scatter-add scatter-max scatter-min scatter-mul scatter-sub
matrices      product      dot_general ragged_dot_general
convolution   convolution  conv_general_dilated
aside         free         random_bits random_clone random_fold_in random_gamma random_seed
aside         free         random_split random_unwrap random_wrap rng_bit_generator rng_uniform
aside         free         threefry2x32 threefry4x32 philox2x32 philox4x32
aside         free         debug_callback debug_print inspect_sharding check
aside         free         all_gather all_gather_invariant all_to_all axis_index pmax pmin ppermute
aside         free         psum psum_invariant pvary reduce_scatter reshard layout_constraint
aside         free         with_memory_space_constraint
aside         free         approx_top_k broadcast_to dim_as_value dimension_size eq_to from_edtype
aside         free         le_to lt_to lu_pivots_to_permutation platform_index reduce
aside         free         select_and_gather_add select_and_scatter_add shape_assertion to_edtype
"""

PRIMITIVES: dict[str, Primitive] = {
    name: Primitive(kind, operations)
    for kind, operations, *names in map(str.split, _TABLE.strip().splitlines())
    for name in names
}
"""Primitives by name.

Primitives of the kind "aside" multiply nothing with weights but have no rule of units. Any
primitive that is missing is not understood: kernels, calls of other languages, decompositions of
matrices, and primitives that JAX may add.
"""


def kind_of(name: str) -> str:
    """Return the kind of a primitive, "" for one that is not understood."""
    return PRIMITIVES[name].kind if name in PRIMITIVES else ""


PRODUCTS = frozenset({"matrices", "convolution"})
"""Kinds that multiply."""

PURE = frozenset(row.kind for row in PRIMITIVES.values()) - PRODUCTS - {"aside"}
"""Kinds that only compute one result entry by entry, or move entries."""
