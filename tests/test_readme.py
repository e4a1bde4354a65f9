"""The README's examples run, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOW = r"https://github\.com/topodl/topodl/actions/(workflows/\w+\.yml)(?:/badge\.svg)?"
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(example):
    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_link_leads_somewhere_from_every_page_that_shows_the_readme(target):
    ours = r"https://(?:raw\.githubusercontent\.com/topodl/topodl|github\.com/topodl/topodl/blob)/main/(.+)"
    badge = r"https://img\.shields\.io/badge/[\w.-]+"
    file = re.fullmatch(ours, target) or re.fullmatch(WORKFLOW, target)
    assert file or re.fullmatch(badge, target), "a package's page on PyPI knows no relative links"
    if file is not None:
        folder = ROOT / ".github" if "/actions/" in target else ROOT
        assert (folder / file[1]).exists()


def test_the_commands_are_one_line_each():
    commands = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert len(commands) == 2
    assert all(command.count("\n") == 1 for command in commands)
