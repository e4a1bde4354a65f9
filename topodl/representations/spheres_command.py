"""`topodl spheres`: the topological autoencoder's experiment on Spheres, beside other embeddings.

Moor, Horn, Rieck, Borgwardt, ICML 2020: its data, configuration, measures and published figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from topodl._checks import check_number, fail

__all__ = ["add_arguments", "run"]

_NAME = "topodl spheres"
_LEAST_SAMPLES = 8  # so that a tenth of all points has ten neighbours each

# The paper's table for Spheres, on the test data.
_MEASURES = ("kl_0.01", "kl_0.1", "kl_1", "mrre", "continuity", "trustworthiness", "rmse")
_PUBLISHED: dict[str, tuple[float, ...]] = {
    "PCA": (0.332, 0.651, 0.01530, 0.294, 0.747, 0.626, 11.8),
    "UMAP": (0.157, 0.613, 0.01658, 0.250, 0.752, 0.635, 9.3),
    "Autoencoder": (0.566, 0.746, 0.01664, 0.349, 0.607, 0.588, 13.3),
    "TopoAE": (0.085, 0.326, 0.00694, 0.272, 0.822, 0.658, 13.5),
}
# The best configurations that the authors released.
_SETTINGS: dict[str, dict[str, Any]] = {
    "TopoAE": {
        "batch_size": 28,
        "learning_rate": 2.72683866289072e-4,
        "topology_weight": 0.43357738971723536,
    },
    "Autoencoder": {"batch_size": 84, "learning_rate": 6.40628075404713e-4, "topology_weight": 0.0},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl spheres` to `parser`."""
    parser.description = (
        "Train topological and plain autoencoders on the data set Spheres with the published settings, "
        "measure their latent spaces beside PCA and UMAP (where it is installed), and write results.json, "
        "results.md and spheres.png."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument(
        "--methods", nargs="+", choices=list(_PUBLISHED), default=list(_PUBLISHED), help="default: all"
    )
    parser.add_argument("--epochs", type=int, default=100, help="epochs (default: 100, the paper's)")
    parser.add_argument(
        "--samples",
        type=int,
        default=500,
        help="points of a small sphere, at least 8 (default: 500, the paper's)",
    )
    parser.add_argument("--device", default="cpu", help="where to train (default: cpu)")
    parser.add_argument(
        "--output", default="spheres", metavar="FOLDER", help="where to write (default: spheres)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the experiment, print the table, and return the exit status."""
    _check(args)
    if "UMAP" in args.methods and importlib.util.find_spec("umap") is None:
        print("UMAP is left out: it needs umap-learn, which is not installed (pip install umap-learn).")
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    train, test, labels = _data(args.samples)
    results: dict[str, list[dict[str, float]]] = {}
    latents: dict[str, Any] = {}
    for seed in args.seeds:
        for name, codes in _embeddings(train, test, seed, args, folder):
            quality = _measure(test, codes)
            results.setdefault(name, []).append({"seed": seed, **quality})
            latents.setdefault(name, codes)
            (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    table = _table(results)
    (folder / "results.md").write_text(table, encoding="utf-8")
    print(table)
    _picture(latents, labels, folder / "spheres.png")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what would fail after the folder is made, or after an hour."""
    from topodl.representations._training_run import resolve_device

    check_number(_NAME, "samples", args.samples, low=_LEAST_SAMPLES, integer=True)
    check_number(_NAME, "epochs", args.epochs, low=1, integer=True)
    resolve_device(_NAME, args.device)
    for seed in args.seeds:
        check_number(_NAME, "seeds", seed, low=0, high=2**32 - 1, integer=True)
    if len(set(args.seeds)) < len(args.seeds):
        raise fail(_NAME, "seeds", f"is {args.seeds}", "each seed once")


def _data(n_samples: int) -> tuple[Any, Any, Any]:
    """Return training points, test points (a tenth), standardised by the former, and the test labels."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    from topodl.datasets import make_spheres

    cloud = make_spheres(n_samples)
    points = cloud.points.astype(np.float32)
    # The authors' split: the same rows for the same seed.
    train, test, _, labels = train_test_split(
        points, cloud.labels, test_size=0.1, random_state=np.random.RandomState(42)
    )
    mean, deviation = train.mean(0, keepdims=True), train.std(0, keepdims=True)
    return (train - mean) / deviation, (test - mean) / deviation, labels


def _embeddings(train: Any, test: Any, seed: int, args: argparse.Namespace, folder: Path) -> Any:
    """Yield the name of each method and its embedding of the test points."""
    from sklearn.decomposition import PCA

    from topodl.representations.autoencoder import TopologicalAutoencoder

    if "PCA" in args.methods and seed == args.seeds[0]:  # nothing in it is random
        yield "PCA", PCA(2, svd_solver="full").fit(train).transform(test)
    if "UMAP" in args.methods and importlib.util.find_spec("umap"):
        yield "UMAP", _umap(train, test, seed)
    for name in (name for name in _SETTINGS if name in args.methods):
        model = TopologicalAutoencoder(
            **_SETTINGS[name],
            max_epochs=args.epochs,
            weight_decay=1e-5,
            early_stopping=None,  # nothing held out: the authors trained on all samples, too
            device=args.device,
            random_state=seed,
            checkpoint=folder / f"{name}-{seed}.pt",
            verbose=True,
        )
        yield name, model.fit(train).transform(test)


def _umap(train: Any, test: Any, seed: int) -> Any:
    import warnings

    with warnings.catch_warnings():
        # It warns of packages that it could use besides, and that a seed leaves it one thread.
        warnings.simplefilter("ignore")
        import umap

        return umap.UMAP(n_components=2, random_state=seed).fit(train).transform(test)


def _measure(test: Any, codes: Any) -> dict[str, float]:
    from topodl.representations.quality import embedding_quality

    quality = embedding_quality(test, codes)
    return {name: quality[name] for name in _MEASURES}


def _table(results: dict[str, list[dict[str, float]]]) -> str:
    """Return the table: mean ± standard deviation over the seeds, and the paper's figures below."""
    import numpy as np

    lines = ["| method | seeds | " + " | ".join(_MEASURES) + " |", "|---" * (len(_MEASURES) + 2) + "|"]
    for name, runs in results.items():
        values = np.array([[each[measure] for measure in _MEASURES] for each in runs])
        spread = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(_MEASURES))
        cells = [
            f"{m:.3g} ± {s:.1g}" if s else f"{m:.3g}" for m, s in zip(values.mean(0), spread, strict=True)
        ]
        lines.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
        published = " | ".join(f"{value:.3g}" for value in _PUBLISHED[name])
        lines.append(f"| {name}, paper | | {published} |")
    return "\n".join(lines) + "\n"


def _picture(latents: dict[str, Any], labels: Any, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture: matplotlib is not installed.")
        return
    figure = Figure(figsize=(4 * len(latents), 4), layout="constrained")
    axes = figure.subplots(1, len(latents), squeeze=False)[0]
    for ax, (name, codes) in zip(axes, latents.items(), strict=True):
        # The large sphere first, so that it does not hide the small ones.
        for label in sorted(set(labels.tolist()), reverse=True):
            part = codes[labels == label]
            ax.scatter(part[:, 0], part[:, 1], s=4, color=f"C{label}" if label < 10 else "0.8")
        ax.set(title=name, xticks=[], yticks=[])
    figure.savefig(path, dpi=150)
    print(f"Picture: {path}")
