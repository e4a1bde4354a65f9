"""The comparison of losses, TopoMortar-style: data, training, tables and the report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# public name -> module that defines it, loaded at its first use
_HOMES = {
    "RunFolder": "topodl.evaluation.run_folder",
    "StudySettings": "topodl.evaluation.settings",
    "build_report": "topodl.evaluation.report",
    "comparison_table": "topodl.evaluation.tables",
    "paired_permutation_test": "topodl.evaluation.statistics",
    "run_study": "topodl.evaluation.study",
}

__all__ = [
    "RunFolder",
    "StudySettings",
    "build_report",
    "comparison_table",
    "paired_permutation_test",
    "run_study",
]

if TYPE_CHECKING:
    from topodl.evaluation.report import build_report
    from topodl.evaluation.run_folder import RunFolder
    from topodl.evaluation.settings import StudySettings
    from topodl.evaluation.statistics import paired_permutation_test
    from topodl.evaluation.study import run_study
    from topodl.evaluation.tables import comparison_table


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'topodl.evaluation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
