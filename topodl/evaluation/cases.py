"""A folder of images and labels that nobody prepared: its layout, its cases, and what its labels mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topodl.evaluation.case_types import IGNORE, Case, LabelScheme, Picture

__all__ = ["IGNORE", "Case", "CaseFolder", "LabelScheme", "Picture", "read_cases"]


@dataclass(frozen=True)
class CaseFolder:
    """The cases of a folder, or of a list, with what is needed to read them.

    Attributes
    ----------
    layout : str
        One line for the user: how the folder was understood.
    cases : tuple of Case
        All cases, in the order of their ids.
    scheme : LabelScheme
        What the values in the label files mean.
    label_line : str
        One line for the user: what the values are taken for.
    channel_names : tuple of str
        Name of each channel, such as ("CT",), where the data set gives them; else one empty string a channel.
    ndim : int
        2 for pictures, 3 for volumes.
    """

    layout: str
    cases: tuple[Case, ...]
    scheme: LabelScheme
    label_line: str
    channel_names: tuple[str, ...] = ("",)
    ndim: int = 2

    def load(self, case: Case) -> Picture:
        """Return the image and the label of a case; one without a label has `IGNORE` everywhere."""
        raise NotImplementedError


def read_cases(
    path: str | Path,
    *,
    classes: str | None = None,
    ignore_label: int | None = None,
    progress: bool = False,
) -> CaseFolder:
    """Return the cases of a folder, or of a CSV or JSON list of files.

    Parameters
    ----------
    path : str or Path
        A folder, or a list of images and masks.
    classes : str or None
        Meaning of the values in label files, as "0=background,1=artery,2=vein".
    ignore_label : int or None
        The value in label files that counts nowhere.
    progress : bool
        Whether a bar shows the one pass over all files.

    Raises
    ------
    InputError
        If the folder is not understood, or anything in it does not fit; the message names the file.
    """
    raise NotImplementedError
