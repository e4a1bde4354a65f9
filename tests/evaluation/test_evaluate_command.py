"""The options of `topodl evaluate`, as settings."""

import argparse
import os
import sys

import pytest

from tests.evaluation.case_folders import pairs
from topodl import InputError
from topodl.evaluation.evaluate_command import _settings, add_arguments


def settings_of(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return _settings(parser.parse_args([*words, "--device", "cpu"]))


def test_options_for_data_of_ones_own_become_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    data = pairs(tmp_path / "data")
    words = ["--data", str(data), "--classes", "0=a,1=b", "--ignore-label", "255", "--folds", "4"]
    words += ["--patch-size", "32", "64", "--network", "my.module:make", "--losses", "cldice: iterations=2"]
    settings = settings_of(*words)
    assert settings.data == os.fspath(data.resolve())
    assert (settings.classes, settings.ignore_label, settings.folds) == ("0=a,1=b", 255, 4)
    assert (settings.patch_size, settings.network) == ((32, 64), "my.module:make")
    assert (settings.losses, settings.image_size) == (("cldice:iterations=2",), 0)
    assert sys.path[0] == os.getcwd()  # where one's own module may lie


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "1"], "folds is 1; expected 0, or at least 2"),
        (["--folds", "-1"], "folds is -1; expected an integer of at least 0"),
        (["--patch-size", "0"], "patch_size is 0; expected an integer of at least 1"),
        (["--network", "unett"], r"network is 'unett' \(did you mean 'unet'\?\)"),
    ],
)
def test_unusable_options_are_named(words, message):
    with pytest.raises(InputError, match=message):
        settings_of(*words)
