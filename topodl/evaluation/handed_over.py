"""What worker processes get: their order, and in a file data and network of the study's caller."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

from topodl._checks import fail
from topodl._files import atomic_path
from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.given_data import GivenSplits
from topodl.evaluation.networks import NetworkFactory
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.tasks import Task

__all__ = ["HandedOver", "Order", "read_handed_over", "write_handed_over"]

_NAME = "run_distributed_study"


@dataclass(frozen=True, eq=False)
class HandedOver:
    """What a study has from its caller in the place of names in the settings; None where it has names."""

    data: GivenSplits | None = None
    network: NetworkFactory | None = None

    def __bool__(self) -> bool:
        return self.data is not None or self.network is not None


@dataclass(frozen=True)
class Order:
    """What a worker is to do.

    Attributes
    ----------
    trainings : tuple of Task
        What it does, as far as nobody else does.
    awaited : tuple of Task
        Those of them that it waits for, where others have them.
    settings : StudySettings
        The study.
    output : Path
        Its folder.
    threads : int or None
        Number of threads that torch computes with, on which results on a CPU depend; by default its own.
    objects : Path or None
        File with what the study's caller handed over.
    modules : str
        Folder beside which modules may lie, where the worker sees it.
    """

    trainings: tuple[Task, ...]
    awaited: tuple[Task, ...]
    settings: StudySettings
    output: Path
    threads: int | None = None
    objects: Path | None = None
    modules: str = ""


def write_handed_over(path: Path, objects: HandedOver) -> None:
    """Write the objects to a file; functions of scripts and notebooks with all that they are made of.

    Raises
    ------
    InputError
        If the network is bound to this process, as by an open file or a lock.
    MissingDependencyError
        If the extra `eval` is not installed.
    """
    try:
        import cloudpickle
    except ImportError as error:
        raise MissingDependencyError("cloudpickle", extra="eval", purpose=_NAME) from error
    try:
        network = cloudpickle.dumps(objects.network)
    except Exception as error:  # whatever the caller's object raises
        came = f"cannot be sent to other processes ({error})"
        raise fail(_NAME, "network", came, "a callable that can be pickled") from error
    with atomic_path(path) as partial, partial.open("wb") as stream:
        pickle.dump((objects.data, network), stream, protocol=pickle.HIGHEST_PROTOCOL)


def read_handed_over(path: Path) -> HandedOver:
    """Return the objects of a file that this study's own command wrote.

    Raises
    ------
    InputError
        If the network comes from a module that is not here.
    """
    with path.open("rb") as stream:
        data, network = pickle.load(stream)
    try:
        return HandedOver(data, pickle.loads(network))
    except (ImportError, AttributeError) as error:
        came = f"comes from a module that a worker does not have ({error})"
        raise InputError(f"{_NAME}: network {came}; expected the same modules everywhere") from error
