"""The examples of the guides run: page by page, beside stand-ins for what a reader has of their own."""

import re
from pathlib import Path

import pytest
import torch
from sklearn.neighbors import kneighbors_graph as nearest_neighbours
from torch import nn

from topodl.losses import registry

from .evaluation.fake_run import make_run

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page.stem for page in DOCS.glob("*.md") if "```python" in page.read_text(encoding="utf-8"))
# Blocks that download, or train for minutes, by a word of theirs.
LEFT_OUT = ("TopoMortar(", "_study(")


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        self.encode = self.forward = self.encoder.forward
        self.decode = nn.Linear(2, 8)


class TwoLayers(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 5))
        self.layer2 = nn.Linear(5, 4)


def attention():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    return {"model": model, "loader": [{"src": torch.randn(2, 5, 8)}], "task_loss": torch.mean}


def datasets():
    Path("MUTAG").write_text("40\n" + "2 1\n0 1 1\n0 1 0\n" * 40, encoding="utf-8")
    return {}


def losses():
    logits, target = torch.randn(1, 2, 16, 16, requires_grad=True), torch.randint(2, (1, 16, 16))
    training = {"model": nn.Conv2d(3, 2, 1), "loader": [(torch.rand(1, 3, 16, 16), target, {})]}
    return {"logits": logits, "target": target, "step": 8, "n_steps": 10, **training}


def metrics():
    batch = {"image": torch.rand(2, 3, 64, 64), "label": torch.randint(2, (2, 64, 64))}
    return {"model": nn.Conv2d(3, 2, 1), "loader": [batch, batch]}


def prediction_mapper():
    clouds = torch.randn(3, 4) * 2
    labels = torch.arange(600) % 3
    x = clouds[labels] + torch.randn(600, 4)
    model = nn.Sequential()
    model.add_module("encoder", nn.Linear(4, 4))
    model.add_module("head", nn.Linear(4, 3))
    fitted = {"embeddings": x, "probabilities": model(x).detach().softmax(1), "labels": labels}
    adjacency = nearest_neighbours(x.numpy(), 5)
    return {"model": model, "loader": [(x, labels)], "known": range(100), "adjacency": adjacency, **fitted}


def report():
    Path("runs/walls").mkdir(parents=True)
    make_run(Path("runs/walls"), pictures=False)
    return {}


def representations():
    losses = {"reconstruction_loss": nn.functional.mse_loss, "criterion": nn.MSELoss()}
    models = {"model": Autoencoder(), "first": TwoLayers(), "second": TwoLayers()}
    return {"x": torch.randn(16, 8), "y": torch.randn(16, 2), **losses, **models}


@pytest.fixture(autouse=True)
def no_loss_stays_registered():
    """Take out of the registry what a page puts there."""
    known = set(registry)
    yield
    for name in registry.keys() - known:
        registry.pop(name)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_guide_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = globals()[page]() if page in globals() else {}
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if not any(word in block for word in LEFT_OUT):
            exec(compile(block, f"docs/{page}.md", "exec"), names)
