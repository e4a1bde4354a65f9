"""What is checked before a study begins: packages, and that its folder is its own."""

from __future__ import annotations

import importlib.util
import os

from topodl._checks import fail
from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.settings import StudySettings

__all__ = ["refuse_other_study", "require_packages"]

_NAME = "topodl evaluate"


def require_packages(settings: StudySettings) -> None:
    """Raise for what is not installed now, and not after hours in the middle of a study."""
    needed = {"lightning_fabric": "lightning-fabric", "PIL": "pillow", "jinja2": "jinja2"}
    in_windows = settings.data is not None or settings.patch_size
    augmentations = {settings.of_loss(loss).augmentation for loss in settings.losses}
    if in_windows or settings.network == "dynunet" or "topomortar" in augmentations:
        needed["monai"] = "monai"
    for module, package in needed.items():
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(package, extra="eval", purpose=_NAME)


def refuse_other_study(folder: RunFolder, settings: StudySettings) -> None:
    """Raise if the folder holds another study, or files of something else."""
    root = folder.root
    try:
        found = [root / name for name in os.listdir(root)]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        came = f"is {str(root)!r}, which {'is' if root.exists() else 'lies below'} a file"
        raise fail(_NAME, "output", came, "a folder, or a new name") from None
    except (OSError, ValueError) as error:
        raise fail(_NAME, "output", f"cannot be looked into ({error})", "a folder") from error
    before_the_study = (folder.claims, folder.search, folder.search_csv)
    if all(path in before_the_study or path.suffix == ".part" for path in found):
        return
    if not folder.settings.is_file():
        raise InputError(
            f"{_NAME}: output is {str(root)!r}, which has files but no study; expected a new or empty folder"
        )
    try:
        difference = settings.difference(dict(folder.read_settings()["settings"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{_NAME}: cannot read {folder.settings}: {error!r}") from error
    if difference is not None:
        raise InputError(
            f"{_NAME}: {root} holds a study with other settings: {difference}; "
            "expected the same settings, or another --output"
        )
