"""The code of the pages on other libraries runs, where the library is installed."""

import re
from pathlib import Path

import pytest
import torch

PAGES = sorted((Path(__file__).parents[2] / "docs" / "integrations").glob("*.md"))
NEEDS = {
    "lightning": ["lightning"],
    "monai": ["monai", "ignite"],
    "pyg": ["torch_geometric"],
    "sklearn": ["pandas", "skops", "skorch"],
    "transformers": ["transformers", "accelerate"],
}


@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    for library in NEEDS.get(page, []):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    text = next(p for p in PAGES if p.stem == page).read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, f"docs/integrations/{page}.md", "exec"), names)
