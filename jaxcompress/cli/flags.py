"""Errors of the library, whose arguments have other names on the command line."""

_LEADS = {
    "params: sparsity ": "--sparsity: ",
    "clusters: k ": "--clusters: ",
    "scope: no leaf ": "--scope: no tensor ",
    "scope: '": "--scope: '",
    'scope: "': '--scope: "',
    "select, drop: ": "--select, --drop: ",
    "step_size: its ": "--step-size: its ",
    "size_bytes: ": "--size: ",
    "target_bytes: ": "--target-size: ",
}
"""How errors of arguments begin, and how those of their flags do. A tensor may be called scope."""

_REMEDIES = {
    "(max_error), remove more weights": "(--max-error), raise --sparsity",
    "the default takes floating-point leaves of rank 2 and up": (
        "by default floats of rank 2 and up are compressed, and --lossless packs any tensors"
    ),
}
"""Other words of these errors."""


def by_flags(message: str) -> str:
    """Return the message of an error with flags in place of arguments.

    Example:
        >>> by_flags("scope: '(' is not a regular expression")
        "--scope: '(' is not a regular expression"
        >>> by_flags("scope: must be finite")
        'scope: must be finite'
    """
    lead = next((lead for lead in _LEADS if message.startswith(lead)), None)
    if lead is None:
        return message
    message = _LEADS[lead] + message.removeprefix(lead)
    for words, said in _REMEDIES.items():
        message = message.replace(words, said)
    return message
