"""What CI runs exists, and says the same as the package: Pythons, extras, scripts, versions of tools."""

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))


def steps(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step for job in content["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_script_and_extra_that_a_workflow_names_is_there(path):
    for step in steps(path):
        command = step.get("run", "")
        for script in re.findall(r"(?<!\S)\.ci/\w+", command):
            assert os.access(ROOT / script, os.X_OK)
        for extra in re.findall(r"\.\[(\w+)\]", command):
            assert extra in PROJECT["optional-dependencies"]


def test_the_pythons_of_the_classifiers_are_those_of_the_tests():
    tested = workflow("tests")["jobs"]["linux"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: "
    assert [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)] == tested
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_a_release_keeps_no_secret_and_waits_for_the_tests():
    publish = workflow("release")["jobs"]["publish"]
    assert publish["needs"] == "tests"
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets" not in (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


def test_all_holds_every_extra_of_users():
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.fullmatch(r"topodl\[(.+)\]", everything)[1].split(","))
    assert named | {"eval", "plot"} == set(extras) - {
        "all",
        "docs",
        "test",
    }  # cluster has eval, which has plot


def test_the_hooks_run_the_ruff_of_the_constraints():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (ruff,) = [repo["rev"] for repo in hooks["repos"] if "ruff" in repo["repo"]]
    assert f"\nruff=={ruff.removeprefix('v')}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
