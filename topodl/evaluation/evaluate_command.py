"""`topodl evaluate`: its options, and what it says on the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topodl.errors import InputError

if TYPE_CHECKING:
    from topodl.evaluation.run_folder import RunFolder
    from topodl.evaluation.settings import StudySettings

__all__ = ["add_arguments", "run"]

_NO_SETTINGS = (
    "command",
    "output",
    "seeds",
    "protocol",
    "jobs",
    "scheduler",
    "wait",
    "trials",
    "rungs",
    "search_seeds",
)

_DESCRIPTION = """\
Trains the same network with several losses, measures topology and overlap on test images, and writes tables
and pictures. Without arguments it does so on drawn walls, in a few minutes on two CPU cores; --data PATH
takes your own images and labels, in most layouts, or TopoMortar. The same command goes on with a run that was
stopped."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `topodl evaluate` to `parser`; those that are not given come from the protocol."""
    parser.description = _DESCRIPTION
    _add_comparison(parser)
    _add_data(parser)
    _add_training(parser)
    _add_search(parser)
    _add_machine(parser)


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to compare")
    group.add_argument(
        "--losses",
        nargs="+",
        metavar="NAME",
        help='losses by name, with options as "cldice:iterations=10", or combined, "ce_dice+scnp(cldice)"; '
        '"recommended" stands for those to begin with; an unknown name lists all',
    )
    group.add_argument(
        "--loss-variant", help="losses of their papers, or of the published study: paper, topomortar"
    )
    group.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        metavar="N",
        help="how many seeds (one number), or which ones (several numbers)",
    )
    group.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default: a name of its own in topodl-runs"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="folder of images and labels, or a CSV or JSON list of them (default: drawn walls)",
    )
    group.add_argument(
        "--classes",
        metavar="TEXT",
        help='values in labels, "0=background,1=artery,2=vein", or regions, "0=background,1+2=whole,2=core"',
    )
    group.add_argument(
        "--ignore-label", type=int, metavar="N", help="value in labels of pixels that count nowhere"
    )
    group.add_argument("--folds", type=int, metavar="N", help="test every image once, in N folds")
    group.add_argument("--labels", help="of TopoMortar, to train with: accurate (default), noisy or pseudo")
    group.add_argument("--training-set", help="of TopoMortar and drawn walls: large (default) or small")
    group.add_argument(
        "--image-size", type=int, metavar="N", help="resize images and labels to this side; 0: leave them"
    )
    group.add_argument(
        "--patch-size",
        nargs="+",
        type=int,
        metavar="N",
        help="train with pieces of this side, or these sides (default: from the images and the network)",
    )
    group.add_argument("--test-images", type=int, metavar="N", help="drawn test pictures in each group")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--protocol",
        default="quick",
        help="quick (default), topomortar (the published one), or tuned: settings chosen in validation first",
    )
    group.add_argument("--framework", help="supervised (default), randhue or selfdistillation")
    group.add_argument("--iterations", type=int, metavar="N")
    group.add_argument("--batch-size", type=int, metavar="N", help="images in a step, over all devices")
    group.add_argument(
        "--network", help="unet (small), dynunet (published), or your own as package.module:function"
    )
    group.add_argument("--optimizer", help="adamw or sgd")
    for name in ("learning-rate", "momentum", "weight-decay"):
        group.add_argument(f"--{name}", type=float, metavar="X")
    group.add_argument("--schedule", help="of the learning rate: poly or constant")
    group.add_argument("--clip-norm", type=float, metavar="X", help="largest norm of the gradient; 0: none")
    group.add_argument("--augmentation", help="none, light or topomortar")
    group.add_argument(
        "--validation-interval", type=int, metavar="N", help="iterations between validations; 0: none"
    )
    group.add_argument(
        "--remove-small",
        action=argparse.BooleanOptionalAction,
        help="remove small components and holes from predictions; validation images say how small",
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("search for settings, with --protocol tuned")
    group.add_argument("--trials", type=int, metavar="N", help="settings tried of each loss (default 12)")
    group.add_argument("--rungs", type=int, metavar="N", help="how often trials are compared (default 3)")
    group.add_argument(
        "--search-seeds",
        nargs="+",
        type=int,
        metavar="N",
        help="seeds of the search's trainings (default 101)",
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument("--device", help="auto (default), cpu, cuda, cuda:N or mps")
    group.add_argument("--devices", type=int, metavar="N", help="GPUs, or CPU processes, of each machine")
    group.add_argument("--nodes", type=int, metavar="N", help="machines; start the command on each")
    group.add_argument("--precision", help="32-true, 16-mixed or bf16-mixed")
    group.add_argument("--compile", action=argparse.BooleanOptionalAction, help="compile the network")
    group.add_argument("--workers", type=int, metavar="N", help="processes that load and augment images")
    group.add_argument(
        "--image-memory", type=float, metavar="GIB", help="images held in memory, others on disk (default 4)"
    )
    group.add_argument(
        "--checkpoint-seconds", type=float, metavar="X", help="time between two checkpoints (default 30)"
    )
    group.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings side by side, on this machine (default 1)"
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="train on the workers of this Dask scheduler (or its file)"
    )
    group.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait for the trainings of other processes that run the same command (default)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the study and print its table and where its report lies."""
    _search_options(arguments)
    settings = _settings(arguments)
    output = arguments.output or Path("topodl-runs", settings.short_name())
    folder = _run(settings, output, arguments)
    if not _is_first_process():
        return 0

    left = _left(settings, folder)
    if left:
        _note(f"{left} are not finished; the process that ends last writes the report")
        return 0

    from topodl.evaluation import report_command

    parser = argparse.ArgumentParser()
    report_command.add_arguments(parser)
    return report_command.run(parser.parse_args([str(folder.root)]))


def _left(settings: StudySettings, folder: RunFolder) -> str:
    """Return how many trainings of the study in `folder` have no measurements yet; "" where all have."""
    from topodl.evaluation.tasks import trainings_of, unfinished

    if settings.protocol == "tuned":
        if not folder.settings.is_file():
            return "trainings of the search"
        settings = replace(settings, losses=tuple(folder.read_settings()["settings"]["losses"]))
    trainings = trainings_of(settings)
    left = len(unfinished(trainings, settings, folder))
    return f"{left} of {len(trainings)} trainings" if left else ""


def _settings(arguments: argparse.Namespace) -> StudySettings:
    """Return the settings, those of a cluster as its workers have them."""
    from topodl.evaluation.settings import StudySettings

    if ":" in (arguments.network or ""):
        sys.path.insert(0, os.getcwd())  # as python -m has it, for modules beside which one works
    given = {name: value for name, value in vars(arguments).items() if name not in _NO_SETTINGS}
    given["seeds"] = _seeds(arguments.seeds)
    if arguments.scheduler is None:
        return StudySettings.of_protocol(arguments.protocol, **given)

    from topodl.evaluation.scheduler import settings_of_cluster

    if given["data"] is not None:
        given["data"] = given["data"].expanduser().resolve()
    return settings_of_cluster(arguments.scheduler, arguments.protocol, note=_note, **given)


def _run(settings: StudySettings, output: Path, arguments: argparse.Namespace) -> RunFolder:
    if settings.protocol == "tuned":
        return _run_tuned(settings, output, arguments)
    if arguments.jobs == 1 and arguments.scheduler is None:
        from topodl.evaluation.study import run_study

        return run_study(settings, output, note=_note, wait=arguments.wait)

    from topodl.evaluation.scheduler import run_distributed_study

    return run_distributed_study(
        settings, output, jobs=arguments.jobs, scheduler=arguments.scheduler, note=_note
    )


def _run_tuned(settings: StudySettings, output: Path, arguments: argparse.Namespace) -> RunFolder:
    from topodl.evaluation.search import SearchSettings
    from topodl.evaluation.tuned import run_tuned_study

    return run_tuned_study(
        settings,
        output,
        search=SearchSettings(**_search_options(arguments)),
        jobs=arguments.jobs,
        scheduler=arguments.scheduler,
        note=_note,
        wait=arguments.wait,
    )


def _search_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was given of the search; an error where there is none."""
    values = {"trials": arguments.trials, "rungs": arguments.rungs, "seeds": arguments.search_seeds}
    given = {name: value for name, value in values.items() if value is not None}
    if given and arguments.protocol != "tuned":
        name = "search_seeds" if "seeds" in given else next(iter(given))
        raise InputError(
            f"topodl evaluate: {name} is given with the protocol {arguments.protocol!r}; expected 'tuned'"
        )
    return given | ({"seeds": tuple(given["seeds"])} if "seeds" in given else {})


def _seeds(numbers: list[int] | None) -> list[int] | None:
    """Return the seeds: 1 to N for one number N, the numbers themselves for several."""
    if numbers is None or len(numbers) > 1 or numbers[0] == 0:
        return numbers
    if numbers[0] < 0:
        raise InputError(
            f"topodl evaluate: seeds is {numbers[0]}; expected a number of seeds, or several seeds"
        )
    return list(range(1, numbers[0] + 1))


def _note(text: str) -> None:
    if _is_first_process():
        print(f"topodl evaluate: {text}", file=sys.stderr, flush=True)


def _is_first_process() -> bool:
    """Say whether this is the process that speaks; Fabric starts the others with a rank above 0."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
