"""Kinds of errors as tables and pictures of the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from topodl.evaluation.comparison import SettingComparison, rounded
from topodl.evaluation.error_kinds import FEATURES, KINDS
from topodl.evaluation.error_pictures import ERROR_STYLES
from topodl.evaluation.figures import Figure, stacked_bars
from topodl.evaluation.statistics import FloatArray, mean_of_defined
from topodl.evaluation.tables import Cell, Row, Table

__all__ = ["kind_figures", "kind_tables"]


def kind_tables(result: SettingComparison, kinds: Mapping[str, FloatArray]) -> list[Table]:
    """Return one table for each group of test images: errors an image by loss, feature and kind."""
    columns = ("Loss", *(f"{feature}: {kind}" for feature in FEATURES for kind in KINDS))
    tables = []
    for group in dict.fromkeys(result.setting.groups):
        rows = []
        for loss, means in _means(result, kinds, group).items():
            role = "collapsed" if loss in result.collapsed else ""
            rows.append(Row(loss, role, tuple(Cell(_number(mean)) for mean in means)))
        if rows:
            tables.append(Table(f"Errors of topology by kind, {group}: an image", columns, tuple(rows)))
    return tables


def kind_figures(result: SettingComparison, kinds: Mapping[str, FloatArray]) -> list[Figure]:
    """Return one picture for each group and feature: a bar a loss, a part of it a kind."""
    figures = []
    colors = {style.name: style.color for style in ERROR_STYLES}
    for group in dict.fromkeys(result.setting.groups):
        means = _means(result, kinds, group)
        for number, feature in enumerate(FEATURES):
            parts = {
                loss: row[number * len(KINDS) : (number + 1) * len(KINDS)] for loss, row in means.items()
            }
            if parts:
                title = f"Errors of {feature} an image, {group}"
                figures.append(stacked_bars(title, parts, [(kind, colors[kind]) for kind in KINDS]))
    return figures


def _means(result: SettingComparison, kinds: Mapping[str, FloatArray], group: str) -> dict[str, FloatArray]:
    members = np.asarray(result.setting.groups) == group
    named = [loss.name for loss in result.setting.losses if loss.name in kinds]
    return {loss: mean_of_defined(kinds[loss][members], axis=0) for loss in named}


def _number(value: float) -> str:
    return "n/a" if np.isnan(value) else str(rounded(value))
