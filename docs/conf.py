"""How Sphinx builds these pages.

``python -m sphinx -E -W --keep-going -b html docs docs/_build/html``

Nothing is fetched from the network, neither by the build nor by the pages; with ``-t online`` the
build fetches where other libraries document their names, and links to them. Notebooks are committed
executed, and are shown as they are.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

from vibayes.distributions import Distribution
from vibayes.version import __version__

HERE = Path(__file__).parent
logger = logging.getLogger(__name__)

project = "vibayes"
author = "The vibayes developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

# -- Markdown and notebooks -----------------------------------------------------------------------

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # they would come from another server
nb_merge_streams = True


def copy_notebooks(app, config):
    """Put the notebooks beside the pages, where Sphinx looks; the copies are ignored by git."""
    folder = HERE / "notebooks"
    sources = {path.name: path for path in (HERE.parent / "notebooks").glob("*.ipynb")}
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.ipynb"):
        if old.name not in sources:
            old.unlink()
    for name, path in sources.items():
        copy = folder / name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


def follow_notebooks(app, docname, source):
    """Lead links between pages and notebooks, which are right in a checkout, to the copies."""
    if docname.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")


# -- names of other libraries ---------------------------------------------------------------------

INVENTORIES = {
    "arviz": "https://python.arviz.org/en/stable/",
    "dask": "https://docs.dask.org/en/stable/",
    "jax": "https://docs.jax.dev/en/latest/",
    "matplotlib": "https://matplotlib.org/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "pytensor": "https://pytensor.readthedocs.io/en/latest/",
    "python": "https://docs.python.org/3/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "xarray": "https://docs.xarray.dev/en/stable/",
}
intersphinx_mapping = {}
if tags.has("online"):  # noqa: F821 (Sphinx puts it here)
    intersphinx_mapping = {name: (address, None) for name, address in INVENTORIES.items()}

# -- docstrings -----------------------------------------------------------------------------------

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings tell the types in words
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = True
napoleon_type_aliases = {
    "Approximation": "~vibayes.Approximation",
    "DataFrame": "~pandas.DataFrame",
    "Model": "~vibayes.Model",
    "SharedVariable": "~pytensor.compile.sharedvalue.SharedVariable",
    "TensorVariable": "~pytensor.tensor.variable.TensorVariable",
    "array_like": ":py:obj:`array_like <numpy.typing.ArrayLike>`",
    "callable": ":py:func:`callable`",
}
add_module_names = False
toc_object_entries = False


def distribution_signature(app, what, name, obj, options, signature, return_annotation):
    """Show a distribution with its parameters, as it is called in a model."""
    if what != "class" or not issubclass(obj, Distribution) or "__init__" not in vars(obj):
        return None
    own = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in list(inspect.signature(obj.__init__).parameters.values())[1:]
    ]
    first = inspect.Parameter("name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if own and own[0].kind is inspect.Parameter.VAR_POSITIONAL:
        first = first.replace(kind=inspect.Parameter.POSITIONAL_ONLY)
    if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        own.append(inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD))
    return str(inspect.Signature([first, *own])), None


def plain_references(app, what, name, obj, options, lines):
    """Make a list of numbered references: not every paper is cited in the text above it."""
    lines[:] = [re.sub(r"^\.\. \[(\d+)\] ", r"\1. ", line) for line in lines]
    lines[:] = [re.sub(r"\[(\d+)\]_", r"[\1]", line) for line in lines]


# -- formulas -------------------------------------------------------------------------------------


def mathml(node, block):
    """Return a formula as MathML, which browsers show without a script."""
    try:
        text = node.astext().strip().replace(r"\dots", r"\ldots")  # which docutils does not know
        return latex2mathml.tex2mathml(text, as_block=block)
    except MathError as error:
        logger.warning("%s cannot be shown: %s", node.astext(), error, location=node)
        return ""


def visit_math(self, node):
    self.body.append(mathml(node, False))
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(f'<div class="math">{mathml(node, True)}</div>')
    raise nodes.SkipNode


html_math_renderer = "mathml"

# -- pages ----------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "vibayes"
html_static_path = ["_static"]
html_css_files = ["vibayes.css"]
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "vibayes"},
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
}


def setup(app):
    app.connect("config-inited", copy_notebooks)
    app.connect("source-read", follow_notebooks)
    app.connect("autodoc-process-signature", distribution_signature)
    app.connect("autodoc-process-docstring", plain_references, priority=900)  # after napoleon
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
