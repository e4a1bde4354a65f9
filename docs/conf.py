"""Sphinx configuration: guides in Markdown, executed tutorials and gallery, the reference from docstrings."""

import sys
from pathlib import Path

import topodl

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

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
    "docstrings",
    "names",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "gallery_src", "tutorials_src"]
default_role = "py:obj"  # a name in single backticks leads to what it names
maximum_signature_line_length = 80
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = "topodl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
# Where file names know no case, `topodl.Mapper` and `topodl.mapper` would be one page.
autosummary_filename_map = {"topodl.mapper": "topodl.mapper-module"}
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True
sphinx_gallery_conf = {
    "examples_dirs": ["tutorials_src", "gallery_src"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "doc_module": ("topodl",),
    "backreferences_dir": "api/backreferences",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_",),  # not what the last call of a block returns
    "min_reported_time": 1,
}
