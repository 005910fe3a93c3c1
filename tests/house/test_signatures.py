"""The signatures of public functions follow six rules, which this file reads off them."""

import inspect
import re
import types

import jaxcompress as jc

SUBJECTS = [name for name in jc.__all__ if isinstance(getattr(jc, name), types.ModuleType)]
FUNCTIONS = {
    function.__qualname__: function
    for module in [jc, *(getattr(jc, name) for name in SUBJECTS)]
    for name in module.__all__
    if isinstance(function := getattr(module, name), types.FunctionType)
}
PATHS = {"path", "folder"}
TREES = {"params", "tree", "shared", "opt_state"}
BELONGING = {  # what belongs to a tree, and follows it
    *("groups", "keep", "mask", "moments", "quantized", "at", "template", "batches", "stats"),
}
FUNCTIONS_FIRST = {"apply", "module", "loss", "update", "inner"}
AMOUNTS = {  # say their unit or direction themselves, and may follow the tree by place
    *("sparsity", "k", "step_size", "step_sizes", "rate_weight", "size_bytes", "bits", "n", "m"),
}
OPTIONAL_FIRST = {"per_channel", "norm_scale_score"}  # their only argument
KEEPING = {"profile"}  # have a place to keep what they measure


def positional(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in inspect.signature(function).parameters.values() if p.kind in kinds]


def named(function):
    return inspect.signature(function).parameters


def offenders(breaks):
    return sorted(name for name, function in FUNCTIONS.items() if breaks(name, function))


def test_there_are_functions_to_read():
    assert len(FUNCTIONS) > 120 and {"choose_units", "l1_score"} <= set(FUNCTIONS)


def test_a_path_comes_first():
    """Rule 1; scopes and the like are called with the path of a leaf, and its value.

    A place to keep what is measured or made on the way may be left out: it has a default.
    """

    def breaks(_, function):
        later = list(named(function).values())[1:]
        return PATHS & {p.name for p in later if p.default is p.empty}

    assert not offenders(breaks)


def test_apply_then_the_tree_then_what_belongs_to_it():
    """Rule 2: in this order by place, each of them where there is one."""

    def breaks(name, function):
        order = [p.name for p in positional(function) if p.name not in PATHS | {"name"}]
        kinds = [
            0 if each in FUNCTIONS_FIRST else 1 if each in TREES else 2
            for each in order
            if each in FUNCTIONS_FIRST | TREES | BELONGING
        ]
        first = not order or order[0] in FUNCTIONS_FIRST | TREES
        return kinds != sorted(kinds) or (1 in kinds and not first)

    assert not offenders(breaks)


def test_inputs_are_one_call_and_data_are_batches():
    """Rule 3."""

    def breaks(name, function):
        several = {
            p.name for p in named(function).values() if p.kind is inspect.Parameter.VAR_POSITIONAL
        }
        others = {"dataset", "loader", "examples", "batch"} & set(named(function))
        return several != {"inputs"} & set(named(function)) or others

    assert not offenders(breaks)
    sizes = {"compare_latency", "layer_times"}  # their batches are sizes, of the one call
    assert not offenders(
        lambda name, function: {"inputs", "batches"} <= set(named(function)) and name not in sizes
    )


def test_amounts_say_their_direction():
    """Rule 4: a fraction is what is removed or what is kept, and named in the call."""
    hidden = {"share", "ratio", "fraction", "count", "amount", "percent", "most", "step", "steps"}
    labelled = {"check_fraction", "check_removed"}  # of a number that has a name
    assert set(offenders(lambda _, function: hidden & set(named(function)))) == labelled | {
        "shortened"  # a text of at most so many characters
    }

    def breaks(name, function):
        return any(
            parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            for argument, parameter in named(function).items()
            if argument in ("remove", "keep", "remove_at_most")
            and {"float", "int"} & set(re.findall(r"\w+", str(parameter.annotation)))
        )

    rules = {"first_blocks", "outer_blocks", "spread_out"}  # values of `rule=`, called by place
    assert set(offenders(breaks)) == rules


def test_the_rest_is_keyword_only():
    """Rule 5: what has a default is named in a call, except for an amount after the tree."""

    def breaks(name, function):
        options = {p.name for p in positional(function) if p.default is not p.empty}
        kept = PATHS if name in KEEPING else set()
        return options - AMOUNTS - kept and name not in OPTIONAL_FIRST

    assert not offenders(breaks)
    assert not offenders(lambda _, function: len(positional(function)) > 4)


def test_verbs_have_something_to_change():
    """Rule 6: a function whose name is a verb is given what it changes, reads or checks."""
    verbs = {
        *("add", "apply", "calibrate", "check", "choose", "compress", "correct", "count", "drop"),
        *("equalize", "execute", "export", "fit", "fold", "inspect", "load", "measure", "plan"),
        *("quantize", "read", "recalibrate", "remove", "round", "save", "shrink", "update"),
        *("write", "open", "encode"),
    }
    assert not offenders(
        lambda name, function: name.split("_")[0] in verbs and not positional(function)
    )
