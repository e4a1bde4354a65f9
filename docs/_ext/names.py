"""Lead from each name of topodl, PyTorch, scikit-learn or NumPy in a page to what it names."""

import importlib
import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform

from topodl.losses import registry

NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(\(\))?")
KINDS = {"class", "function", "exception", "data", "method", "property", "attribute"}
TORCH, SKLEARN, NUMPY = (
    "https://docs.pytorch.org/docs/stable/",
    "https://scikit-learn.org/stable/modules/generated/",
    "https://numpy.org/doc/stable/reference/generated/",
)
# Pages of PyTorch that hold more than one name; all others have a page of their own.
TORCH_PAGES = {
    "torch.Tensor": "tensors.html",
    "torch.device": "tensor_attributes.html",
    "torch.dtype": "tensor_attributes.html",
    "torch.utils.data": "data.html",
    "torch.export": "export.html",
}


def exists(name):
    """Whether a dotted name can be imported."""
    module, *rest = name.split(".")
    value = importlib.import_module(module)
    for part in rest:
        value = getattr(value, part, None)
        if value is None:
            return False
    return True


def address_outside(name):
    """Return the address of a name of another library, or None."""
    name = "torch.Tensor" if name == "Tensor" else re.sub(r"^torch\.nn\.modules\.\w+\.", "torch.nn.", name)
    library = name.split(".")[0]
    if "." not in name or library not in ("torch", "sklearn", "numpy") or not exists(name):
        return None
    if library == "sklearn":
        return f"{SKLEARN}{name}.html"
    if library == "numpy":
        return f"{NUMPY}{name}.html"
    for prefix, page in TORCH_PAGES.items():
        if name == prefix or name.startswith(f"{prefix}."):
            return f"{TORCH}{page}#{name}"
    return f"{TORCH}generated/{name}.html"


def short_names(env):
    """Return {last part of a public name: all of it}, without what two names share."""
    if not hasattr(env, "topodl_short_names"):
        found = {}
        for name, entry in env.domains["py"].objects.items():
            short = name.rsplit(".", 1)[-1]
            # An alias is where a class is defined; its page goes by where it is imported from.
            if entry.objtype in ("class", "function", "exception", "data") and not entry.aliased:
                found.setdefault(short, set()).add(name)
        short = {key: names.pop() for key, names in found.items() if len(names) == 1}
        short |= {key: f"topodl.losses.{loss.__name__}" for key, loss in registry.items()}
        env.topodl_short_names = short
    return env.topodl_short_names


def full_name(env, name):
    """Return the name that the reference knows an object by, or None."""
    objects, short = env.domains["py"].objects, short_names(env)
    head, *rest = name.removeprefix("topodl.").split(".")
    candidates = [name, ".".join([short.get(head, head), *rest])]
    if name.startswith("topodl."):  # by the module that defines it
        candidates.append(short.get(name.rsplit(".", 1)[-1]))
    return next((full for full in candidates if full in objects and objects[full].objtype in KINDS), None)


class LinkNames(SphinxPostTransform):
    """Make references of the names in the code of sentences and tables, and none of the words in types."""

    default_priority = 5  # before Sphinx resolves references

    def run(self, **kwargs):
        """Go through the page."""
        for reference in list(self.document.findall(pending_xref)):
            # "Tensor of shape (B, N)": a word of a type is no attribute that happens to be called `shape`.
            if reference.get("reftype") == "class" and re.fullmatch(r"[a-z_]+", reference["reftarget"]):
                reference.replace_self(reference.children)
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext()
            inside = isinstance(literal.parent, nodes.reference | nodes.title | pending_xref)
            if not inside and NAME.fullmatch(text):
                reference = pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=text.removesuffix("()"), refwarn=False,
                    refexplicit=False, refdoc=self.env.current_document.docname,
                )  # fmt: skip
                literal.replace_self(reference)
                reference += literal


def resolve(app, env, node, contnode):
    """Resolve a name that Sphinx's own rules do not find."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    address = address_outside(target)
    if address is not None:
        return nodes.reference("", "", contnode, refuri=address, internal=False)
    name = full_name(env, target)
    if name is None:
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)


def setup(app):
    """Register the transform and the hook: Sphinx calls this function by its name."""
    app.add_post_transform(LinkNames)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
