"""The options of models: which one, and what it is fed."""

from pipelines.models.table import MODELS
from pipelines.options.option import DATA, Option, User
from pipelines.options.settings import Settings


def _sizes_fit(size: int, settings: Settings) -> str:
    sizes = MODELS[settings.model].image_sizes
    listed = ", ".join(map(str, sorted(sizes)))
    return "" if size in sizes else f"must be one of {listed} for {settings.model}, got {size}"


def _branches_fit(branches: tuple[str, ...], settings: Settings) -> str:
    known = MODELS[settings.model].branches
    unknown = [name for name in branches if name not in known]
    return f"must be of {', '.join(known)}, got {unknown[0]!r}" if unknown else ""


def _image_size(settings: Settings) -> int:
    return settings.get("image_size") or MODELS[settings.model].image_sizes[0]


def _branches(settings: Settings) -> tuple[str, ...]:
    known = MODELS[settings.model].branches
    return tuple(name for name in known if name in settings.get("branches", known))


_OF_BRANCHES = User(
    lambda settings: f"model {settings.model}",
    lambda name, settings: bool(MODELS[settings.model].branches),
)

MODEL = Option(
    name="model",
    kind="choice",
    bounds=tuple(MODELS),
    required=True,
    help="network",
    recorded="model",
)

OPTIONS = (
    Option(
        name="image_size",
        kind="whole",
        default=_image_size,
        fits=_sizes_fit,
        group=DATA,
        metavar="N",
        help="height and width of the images the network is fed; for fruits a multiple of 8, 16 to "
        "96",
        shown="fruits: 48",
        recorded="image_size",
    ),
    Option(
        name="branches",
        kind="words",
        default=_branches,
        used_by=_OF_BRANCHES,
        fits=_branches_fit,
        group=DATA,
        metavar="B",
        help=f"fuse only these inputs; fruits has {', '.join(MODELS['fruits'].branches)}",
        shown="all",
        recorded="branches",
        unused=(),
    ),
)
