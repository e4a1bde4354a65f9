"""`topodl manifolds`: data of known topology on latent spaces of it, judged by persistence and RTD of codes.

Pérez Rey, Menkovski, Portegies, "Diffusion Variational Autoencoders", IJCAI 2020; the control,
Euclidean space of enough dimensions, is ours.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from topodl._checks import check_number
from topodl.representations._stages import StageResults, add_jobs_argument, check_jobs

__all__ = ["add_arguments", "run"]

_NAME = "topodl manifolds"
_DATA = ("torus", "sphere", "disc")
_LATENTS = ("T2", "S2", "R2", "R4")
_N_TEST, _N_COMPARED = 250, 200
_REACH = 0.75  # of the largest distance, up to which bars are followed
_COLUMNS = ("MSE", "H1 bars", "H2 bars", "continuity", "RTD", "KL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl manifolds` to `parser`."""
    parser.description = (
        "Train variational autoencoders on tori, spheres and Euclidean spaces from several starts, on data "
        "whose space is a torus, a sphere or a disc, measure the topology of their codes, and write "
        "results.json and results.md. What results.json has already is not trained again."
    )
    parser.add_argument("--data", nargs="+", choices=_DATA, default=list(_DATA), help="default: all")
    parser.add_argument("--latents", nargs="+", choices=_LATENTS, default=list(_LATENTS), help="default: all")
    parser.add_argument("--starts", type=int, default=3, help="trainings of each (default: 3)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs (default: 40)")
    parser.add_argument("--samples", type=int, default=3000, help="samples to train on (default: 3000)")
    add_jobs_argument(parser)
    parser.add_argument(
        "--output", default="manifolds", metavar="FOLDER", help="where to write (default: manifolds)"
    )


def run(args: argparse.Namespace) -> int:
    """Run what is missing, print the table, and return the exit status."""
    for name, low in (("starts", 1), ("epochs", 1), ("samples", 100)):
        check_number(_NAME, name, getattr(args, name), low=low, integer=True)
    args.jobs = check_jobs(_NAME, args.jobs)
    folder = Path(args.output)
    results = StageResults(_NAME, folder, {"epochs": args.epochs, "samples": args.samples})
    _run_missing(args, results)
    table = _table(results.runs, args)
    (folder / "results.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def _run_missing(args: argparse.Namespace, results: StageResults) -> None:
    from topodl.representations._side_by_side import side_by_side

    jobs = [(d, m, s) for d in args.data for s in range(args.starts) for m in args.latents]
    missing = [job for job in jobs if _key(job) not in results.runs]
    done = len(jobs) - len(missing)
    for job, result in side_by_side(missing, partial(_trained, args), args.jobs):
        results.add(_key(job), result)
        done += 1
        data, latent, start = job
        print(f"[{done}/{len(jobs)}] {data} on {latent}, start {start}: RTD {result['RTD']:.3g}", flush=True)


def _key(job: tuple[str, str, int]) -> str:
    return "/".join(map(str, job))


def _draw(data: str, n: int, seed: int) -> Any:
    """Return samples (n, features), whose space is the torus, the sphere or the disc."""
    rng = np.random.default_rng([seed, _DATA.index(data)])
    if data == "torus":  # the shifts of a picture of two waves
        down, right = (2 * np.pi * rng.random((n, 1)) + 2 * np.pi * np.arange(16) / 16 for _ in range(2))
        return ((np.cos(down)[:, :, None] + np.cos(right)[:, None]) / 2).reshape(n, -1).astype(np.float32)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if data == "disc":
        points = np.concatenate([rng.random((n, 2)), np.zeros((n, 1))], 1)
    waves = np.random.default_rng(7)  # the same in training and test
    directions, phases = waves.normal(size=(3, 144)), 2 * np.pi * waves.random(144)
    return np.cos(points @ directions + phases).astype(np.float32)


def _trained(args: argparse.Namespace, job: tuple[str, str, int]) -> dict[str, Any]:
    """Train one model and return the measures of its codes of the test samples."""
    import torch

    from topodl.representations import manifolds
    from topodl.representations.manifold_vae import ManifoldVAE
    from topodl.representations.quality import embedding_quality

    data, latent, start = job
    spaces = {
        "T2": manifolds.FlatTorus(2),
        "S2": manifolds.Sphere(2),
        "R2": manifolds.Euclidean(2),
        "R4": manifolds.Euclidean(4),
    }
    train, test = _draw(data, args.samples, 0), _draw(data, _N_TEST, 1)
    model = ManifoldVAE(
        spaces[latent], max_epochs=args.epochs, random_state=start, verbose=args.jobs == 1
    ).fit(train)
    codes = model.transform(test)
    with torch.no_grad():
        _, log_t = model.encode(torch.from_numpy(test))
        kl = spaces[latent].kl(torch.from_numpy(codes), log_t).mean().item()
    return {
        "MSE": float(np.square(model.inverse_transform(codes) - test).mean()),
        **_bars(codes),
        "continuity": embedding_quality(test, codes)["continuity"],
        "RTD": _divergence(test, codes),
        "KL": kl,
    }


def _bars(points: Any) -> dict[str, list[float]]:
    """Return the longest bars of a cloud, as shares of its largest distance."""
    import torch

    from topodl.persistence.rips import rips_persistence

    cloud = torch.from_numpy(points)[None]
    cloud = cloud / torch.cdist(cloud, cloud).amax()
    d = rips_persistence(cloud, (1, 2), max_edge_length=_REACH).with_essential("clamp", _REACH)
    return {"H1 bars": d.longest(3, 1)[0].tolist(), "H2 bars": d.longest(2, 2)[0].tolist()}


def _divergence(test: Any, codes: Any) -> float:
    import torch

    from topodl.persistence.rtd import rtd

    first, second = (torch.from_numpy(x[:_N_COMPARED]) for x in (test, codes))
    return float(rtd(first, second, quantile=0.9))


def _table(runs: dict[str, Any], args: argparse.Namespace) -> str:
    """Return the table: means and deviations over the starts, and the start of the lowest RTD."""
    lines = [f"| data | latent | starts | {' | '.join(_COLUMNS)} |", "|---" * (3 + len(_COLUMNS)) + "|"]
    for data in args.data:
        own = _bars(_draw(data, _N_TEST, 1))
        cells = [_cell([own[column]]) if column in own else "" for column in _COLUMNS]
        lines.append(f"| {data} | (the data) | | {' | '.join(cells)} |")
        for latent in args.latents:
            starts = [runs[_key((data, latent, start))] for start in range(args.starts)]
            best = min(starts, key=lambda run: run["RTD"])
            for name, several in ((str(len(starts)), starts), ("lowest RTD", [best])):
                cells = [_cell([run[column] for run in several]) for column in _COLUMNS]
                lines.append(f"| {data} | {latent} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[Any]) -> str:
    table = np.array(values, dtype=float).reshape(len(values), -1)
    means, deviations = table.mean(0), table.std(0, ddof=1) if len(values) > 1 else np.zeros(table.shape[1])
    if len(means) > 1 or len(values) == 1:
        return " ".join(f"{mean:.3g}" for mean in means.round(4))
    return f"{means[0]:.3g} ± {deviations[0]:.1g}"
