"""What docstrings need before Sphinx reads them as reStructuredText."""

import re

PAPER, LINK = re.compile(r"arXiv:(\d{4}\.\d{4,5})"), r"`\g<0> <https://arxiv.org/abs/\1>`__"


def prepare(app, what, name, obj, options, lines):
    """Keep the shape (B, *S) from being emphasis and |death − birth| a substitution; link papers on arXiv."""
    if what == "data" and lines[:1] == (type(obj).__doc__ or "").splitlines()[:1]:
        lines.clear()  # a variable without a docstring shows that of its type
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [PAPER.sub(LINK, re.sub(r"([*|])(?=\S)", r"\\\1", part)) for part in parts[::2]]
            lines[i] = "".join(parts)


def leave_out_data(app, what, name, obj, skip, options):
    """Leave data out of the tables of modules: it has no docstring of its own."""
    return True if what == "data" else None


def setup(app):
    """Register the hooks: Sphinx calls this function by its name."""
    app.connect("autodoc-process-docstring", prepare, priority=400)
    app.connect("autodoc-skip-member", leave_out_data)
    return {"parallel_read_safe": True}
