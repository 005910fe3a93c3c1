"""How Sphinx builds the site: `make -C docs html`."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "jaxcompress"
author = "the jaxcompress authors"
version = release = installed("jaxcompress")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "namespaces",
    "signatures",
    "checkout_links",
    "mathml",
    "notebooks",
]
exclude_patterns = ["_build"]
nitpicky = True
# Names in docstrings and signatures are links where they are public; others are of other libraries.
nitpick_ignore_regex = [("py:(obj|class|exc)", ".*")]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4

default_role = "name"
add_module_names = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "jaxcompress"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_copyright = False
html_copy_source = False
