"""The comparison of losses, TopoMortar-style: data, training, tables and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "RunFolder": "topodl.evaluation.run_folder",
    "SearchSettings": "topodl.evaluation.search",
    "StudySettings": "topodl.evaluation.settings",
    "StudySplits": "topodl.evaluation.given_data",
    "build_report": "topodl.evaluation.report",
    "comparison_table": "topodl.evaluation.tables",
    "paired_permutation_test": "topodl.evaluation.statistics",
    "run_distributed_study": "topodl.evaluation.scheduler",
    "run_study": "topodl.evaluation.study",
    "run_tuned_study": "topodl.evaluation.tuned",
    "settings_of_cluster": "topodl.evaluation.scheduler",
}

__all__ = [
    "RunFolder",
    "SearchSettings",
    "StudySettings",
    "StudySplits",
    "build_report",
    "comparison_table",
    "paired_permutation_test",
    "run_distributed_study",
    "run_study",
    "run_tuned_study",
    "settings_of_cluster",
]

if TYPE_CHECKING:
    from topodl.evaluation.given_data import StudySplits
    from topodl.evaluation.report import build_report
    from topodl.evaluation.run_folder import RunFolder
    from topodl.evaluation.scheduler import run_distributed_study, settings_of_cluster
    from topodl.evaluation.search import SearchSettings
    from topodl.evaluation.settings import StudySettings
    from topodl.evaluation.statistics import paired_permutation_test
    from topodl.evaluation.study import run_study
    from topodl.evaluation.tables import comparison_table
    from topodl.evaluation.tuned import run_tuned_study

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
