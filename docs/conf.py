"""Sphinx configuration: guides in Markdown, an executed gallery, the reference from the docstrings."""

import re

import topodl

project = "topodl"
author = "the topodl developers"
copyright = "2026, the topodl developers"
release = topodl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "gallery_src"]
default_role = "py:obj"  # a name in single backticks leads to what it names
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = "topodl"
autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True
sphinx_gallery_conf = {
    "examples_dirs": "gallery_src",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
}


def escape_shapes(app, what, name, obj, options, lines):
    """Keep Sphinx from reading the shape (B, *S) as emphasis and |death − birth| as a substitution."""
    if what == "data" and lines[:1] == (type(obj).__doc__ or "").splitlines()[:1]:
        lines.clear()  # a variable without a docstring shows that of its type
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"([*|])(?=\S)", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app):
    """Register the hook: Sphinx calls this function by its name."""
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
