"""Every example of the guides runs as it stands, copied alone; links between pages lead to what is there."""

import re
from pathlib import Path

import pytest
import torch

from topodl.losses import registry

from .evaluation.fake_run import make_run

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Blocks that download, need a cluster or a library that tests do without, or train for minutes, by a word.
LEFT_OUT = ("TopoMortar(", "SLURMCluster(", '"my-study"', "torchvision")
NEEDS = {
    "attention": ["transformers"],
    "integrations/lightning": ["lightning"],
    "integrations/monai": ["monai", "ignite"],
    "integrations/pyg": ["torch_geometric"],
    "integrations/sklearn": ["pandas", "skops", "skorch"],
    "integrations/transformers": ["transformers", "accelerate"],
}


def blocks(text):
    return [block for block in BLOCK.findall(text) if not any(word in block for word in LEFT_OUT)]


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.parametrize("page", [name for name, path in PAGES.items() if blocks(path.read_text("utf-8"))])
def test_each_example_of_a_guide_runs_alone(page, tmp_path, monkeypatch):
    for library in NEEDS.get(page, []):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    if page == "report":  # what its reader has
        Path("runs/walls").mkdir(parents=True)
        make_run(Path("runs/walls"), pictures=False)
    for block in blocks(PAGES[page].read_text(encoding="utf-8")):
        torch.manual_seed(0)
        exec(compile(block, f"docs/{page}.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("word", LEFT_OUT)
def test_what_is_left_out_is_there(word):
    assert any(word in path.read_text(encoding="utf-8") for path in PAGES.values())


@pytest.fixture(autouse=True)
def no_loss_stays_registered():
    """Take out of the registry what a page puts there."""
    known = set(registry)
    yield
    for name in registry.keys() - known:
        registry.pop(name)


@pytest.mark.parametrize("page", PAGES)
def test_links_to_other_pages_and_pictures_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", PAGES[page].read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    for target in targets:
        if "://" not in target and "gallery/" not in target and "tutorials/" not in target:
            assert (PAGES[page].parent / target).exists(), f"{page}: {target}"


def test_the_contents_have_each_page_once():
    trees = re.findall(
        r"^```\{toctree\}\n(.*?)^```", PAGES["index"].read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    listed = [line for tree in trees for line in tree.split("\n") if line and not line.startswith(":")]
    own = {name for name in PAGES if "/" not in name} - {"index"} | {"integrations/index"}
    assert sorted(listed) == sorted(own | {"tutorials/index", "gallery/index"})
