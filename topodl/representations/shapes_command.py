"""`topodl shapes`: shapes generated on conditions on their topology, and guided to it by persistence.

Hu, Fei et al., "Topology-Aware Latent Diffusion for 3D Shape Generation", 2024, in kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topodl._checks import check_number, fail
from topodl._files import atomic_path
from topodl.representations._stages import (
    StageResults,
    add_jobs_argument,
    check_jobs,
    mean_and_deviation,
)

if TYPE_CHECKING:
    from topodl.representations._shape_stages import Trial

__all__ = ["add_arguments", "run"]

_NAME = "topodl shapes"
_CONDITIONS = ("none", "betti", "image", "diagram")
_GUIDES = {"betti": "Betti numbers", "diagram": "diagram"}
_TITLES = {
    "none": "none",
    "betti": "Betti numbers",
    "image": "persistence image",
    "diagram": "diagram, set transformer",
}
_FIRST = "autoencoder"  # the stage before those of the conditions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl shapes` to `parser`."""
    parser.description = (
        "Generate shapes of prescribed topology: train an autoencoder of signed distances and flows between "
        "noise and its codes on several conditions, guide samples by persistence, edit conditions, and write "
        "results.json, results.md and shapes.png. What results.json has already is not trained again."
    )
    parser.add_argument("--dims", type=int, choices=(2, 3), default=2, help="images or volumes (default: 2)")
    parser.add_argument(
        "--conditions", nargs="+", choices=_CONDITIONS, default=list(_CONDITIONS), help="default: all"
    )
    parser.add_argument("--guide", type=int, default=10, help="steps of guidance (default: 10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--steps", type=int, default=1500, help="steps of a training (default: 1500)")
    parser.add_argument(
        "--samples",
        type=int,
        default=None,
        help="shapes of each kind to train on (default: 220 images, 320 volumes)",
    )
    parser.add_argument("--device", default="cpu", help="where to train (default: cpu)")
    add_jobs_argument(parser)
    parser.add_argument(
        "--output", default="shapes", metavar="FOLDER", help="where to write (default: shapes)"
    )


def run(args: argparse.Namespace) -> int:
    """Run what is missing, print the table, and return the exit status."""
    _check(args)
    folder = Path(args.output)
    results = StageResults(
        _NAME,
        folder,
        {"dims": args.dims, "samples": args.samples, "steps": args.steps, "guide": args.guide},
    )
    _run_missing(args, results)
    runs = {
        name: [results.runs[f"{seed}/{name}"] for seed in args.seeds] for name in (_FIRST, *args.conditions)
    }
    table = _table(runs, args.dims)
    (folder / "results.md").write_text(table, encoding="utf-8")
    print(table)
    _draw(folder, args)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what would fail after minutes, and fill in what depends on other arguments."""
    from topodl.representations._training_run import resolve_device

    if args.samples is None:
        args.samples = 220 if args.dims == 2 else 320
    for name, low in (("guide", 1), ("steps", 2), ("samples", 2)):
        check_number(_NAME, name, getattr(args, name), low=low, integer=True)
    for seed in args.seeds:
        check_number(_NAME, "seeds", seed, low=0, high=2**32 - 1, integer=True)
    for name in ("seeds", "conditions"):
        if len(set(getattr(args, name))) < len(getattr(args, name)):
            raise fail(_NAME, name, f"is {getattr(args, name)}", "each of them once")
    args.jobs = check_jobs(_NAME, args.jobs, resolve_device(_NAME, args.device).type)


def _is_done(results: StageResults, folder: Path, seed: int, stage: str) -> bool:
    return f"{seed}/{stage}" in results.runs and _kept(folder, seed, stage).exists()


def _kept(folder: Path, seed: int, stage: str) -> Path:
    return folder / "stages" / f"{seed}-{stage}.pt"


def _run_missing(args: argparse.Namespace, results: StageResults) -> None:
    """Run the stages that are missing, those of a seed after its autoencoder, the longest first."""
    from tqdm import tqdm

    from topodl.representations._side_by_side import side_by_side

    folder = Path(args.output)
    missing = {
        (seed, stage)
        for seed in args.seeds
        for stage in (_FIRST, *args.conditions)
        if not _is_done(results, folder, seed, stage)
    }

    def then(job: tuple[int, str]) -> list[tuple[int, str]]:
        seed, stage = job
        waiting = [(seed, each) for each in reversed(_CONDITIONS)] if stage == _FIRST else []
        return [each for each in waiting if each in missing]

    first = [(seed, _FIRST) for seed in args.seeds]
    jobs = [job for job in first if job in missing]
    jobs += [each for job in first if job not in missing for each in then(job)]
    total = len(args.seeds) * (1 + len(args.conditions))
    with tqdm(total=total, initial=total - len(missing), desc="shapes", unit="stage") as bar:
        bar.refresh()
        for (seed, stage), result in side_by_side(jobs, partial(_run_stage, args), args.jobs, then):
            results.add(f"{seed}/{stage}", result)
            bar.set_postfix_str(f"seed {seed}, {stage}", refresh=False)
            bar.update()


def _run_stage(args: argparse.Namespace, job: tuple[int, str]) -> Any:
    """Run a stage, keep its pictures and its model in a file, and return its measures."""
    import torch
    from tqdm import trange

    seed, stage = job
    folder = Path(args.output)
    trial = _trial(args.dims, seed, args.samples, args.steps, args.guide, args.device)

    def progress(n: int) -> Iterable[int]:
        return trange(n, desc=f"seed {seed}, {stage}", leave=False, disable=args.jobs > 1)

    if stage == _FIRST:
        result, pictures = trial.run_autoencoder(progress)
        kept: dict[str, Any] = {"pictures": pictures, "model": trial.autoencoder.state_dict()}
    else:
        saved = torch.load(_kept(folder, seed, _FIRST), map_location=trial.device, weights_only=True)
        trial.autoencoder.load_state_dict(saved["model"])
        result, pictures = trial.run_condition(stage, progress)
        kept = {"pictures": pictures}
    with atomic_path(_kept(folder, seed, stage)) as partial_path, partial_path.open("wb") as stream:
        torch.save(kept, stream)  # a stream names the error of a full disk
    return result


@lru_cache(maxsize=3)
def _trial(dims: int, seed: int, samples: int, steps: int, guide: int, device: str) -> Trial:
    """Return a seed's shapes, which its stages have in common."""
    from topodl.representations._shape_stages import Trial
    from topodl.representations._training_run import resolve_device

    place = resolve_device(_NAME, device)
    return Trial(dims, seed, samples=samples, steps=steps, guide=guide, device=place)


def _table(runs: dict[str, list[dict[str, Any]]], dims: int) -> str:
    """Return both tables: generation with its controls, and edited conditions."""
    numbers = ("components", "holes") if dims == 2 else ("components", "tunnels", "cavities")
    columns = ["right, %", *numbers, "W₁ of diagrams", "two samples", "nearest", "CPU s"]
    lines = [f"| condition | guided by | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    blank = [""] * (len(columns) - 1)
    for name, of_condition in runs.items():
        if name == _FIRST:
            continue
        title, seconds = _TITLES[name], [run["CPU"] for run in of_condition]
        lines.append(_row(title, "", _cells([run["sampled"] for run in of_condition], seconds)))
        for n in of_condition[0]["best"]:
            best = mean_and_deviation([run["best"][n] for run in of_condition], 1)
            lines.append(_row(title, f"best of {n} draws", [best, *blank]))
        for guide, words in _GUIDES.items():
            guided = [run["guided"][guide] for run in of_condition]
            lines.append(_row(title, words, _cells(guided, [run["CPU"] for run in guided])))
    for name, title in (("reconstructed", "reconstruction"), ("retrieved", "retrieval by persistence image")):
        seconds = [run["CPU"] if name == "reconstructed" else 0.0 for run in runs[_FIRST]]
        lines.append(_row(title, "", _cells([run[name] for run in runs[_FIRST]], seconds)))
    lines += ["", *_edits(runs, numbers)]
    return "\n".join(lines) + "\n"


def _row(*cells: Any) -> str:
    first, second, rest = cells
    return f"| {first} | {second} | {' | '.join(rest)} |"


def _cells(measures: list[dict[str, Any]], seconds: list[float]) -> list[str]:
    """Return the cells of a row: means over the seeds, with deviations where they matter."""
    shares = zip(*(each["numbers"] for each in measures), strict=True)
    distances = zip(*(each["distances"] for each in measures), strict=True)
    pairs = [each["pair"] for each in measures if "pair" in each]
    return [
        mean_and_deviation([each["right"] for each in measures], 1),
        *(f"{sum(share) / len(share):.0f}" for share in shares),
        " / ".join(f"{sum(distance) / len(distance):.3f}" for distance in distances),
        mean_and_deviation(pairs, 3) if pairs else "",
        mean_and_deviation([each["nearest"] for each in measures], 3),
        f"{sum(seconds) / len(seconds):.0f}",
    ]


def _edits(runs: dict[str, list[dict[str, Any]]], numbers: tuple[str, ...]) -> list[str]:
    """Return the table of conditions whose holes were taken away, the noise being the same."""
    columns = ["right, %", *numbers, "overlap with the sample before"]
    lines = [f"| condition | edited | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    steps = {"before": "no", "sampled": "no holes", "guided": "no holes, guided"}
    for name, of_condition in runs.items():
        for step, words in steps.items() if name != _FIRST else ():
            edited = [run["edited"][step] for run in of_condition]
            cells = _cells(edited, [0.0])[: 1 + len(numbers)]
            kept = "" if step == "before" else mean_and_deviation([each["kept"] for each in edited], 3)
            lines.append(_row(_TITLES[name], words, [*cells, kept]))
    return lines


def _draw(folder: Path, args: argparse.Namespace) -> None:
    """Draw the shapes of the first seed in a grid: a column for each kind, a row for each way to get one."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture: matplotlib is not installed.")
        return
    import torch

    from topodl.representations._shape_pictures import draw_grid

    stages = {
        stage: torch.load(_kept(folder, args.seeds[0], stage), map_location="cpu", weights_only=True)
        for stage in (_FIRST, *args.conditions)
    }
    figure = draw_grid(Figure, {stage: kept["pictures"] for stage, kept in stages.items()}, _TITLES)
    path = folder / "shapes.png"
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    print(f"Picture: {path}")
