"""One training, of one loss with one seed: the loop, its checkpoints, and going on from one.

Everything random is keyed by (seed, iteration), so a checkpoint holds no generator's state and a resumed
training equals an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from topodl._files import atomic_path
from topodl.errors import InputError
from topodl.evaluation.augmentation import build_augmentation
from topodl.evaluation.data import StudyData, training_batches
from topodl.evaluation.loss_setup import build_loss, out_channels
from topodl.evaluation.memory import peak_memory, reset_peak_memory
from topodl.evaluation.networks import NetworkFactory, build_network
from topodl.evaluation.randomness import INITIALISATION, STEP, seed_all
from topodl.evaluation.scoring import Predictor, mean_by_metric, predict_and_measure
from topodl.evaluation.settings import StudySettings, regresses_depth
from topodl.evaluation.soft_labels import hardened, soft_cross_entropy
from topodl.evaluation.tasks import Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CURVE_COLUMNS", "Training", "reproducible"]

VALIDATION_COLUMNS = {
    "val_dice": "Dice",
    "val_hd95": "HD95",
    "val_betti0_error": "Betti0Error",
    "val_betti1_error": "Betti1Error",
}
CURVE_COLUMNS = ("iteration", "loss", *VALIDATION_COLUMNS)

_CURVE_POINTS = 50
_SELF_DISTILLATION_ROUNDS = 3
_POLY_POWER = 0.9


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Let GPUs choose algorithms that give the same result every time; CPUs do so by themselves."""
    if device.type != "cuda":
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class Training:
    """One training of a study, from its checkpoint if there is one.

    Parameters
    ----------
    fabric : Fabric
        Launched; runs the network on the devices.
    data : StudyData
        Images to train and validate with.
    settings : StudySettings
        What to train.
    factory : callable
        Makes the network, see `find_network`.
    task : Task
        Which training: the loss, and the seed of weights, order of the images and augmentation.
    checkpoint : Path
        Where the state is kept from time to time.
    note : callable
        Gets a line of text if the checkpoint is unusable, so that the training begins anew.
    """

    def __init__(
        self,
        fabric: Fabric,
        data: StudyData,
        settings: StudySettings,
        factory: NetworkFactory,
        task: Task,
        checkpoint: Path,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.fabric, self.data, self.task = fabric, data, task
        self.settings = settings = settings.of_loss(task.loss)
        self.factory, self.checkpoint = factory, checkpoint
        self.augmentation = build_augmentation(settings.augmentation, settings.framework)
        self._saved_at = time.perf_counter()
        reset_peak_memory(fabric.device)
        self._begin()
        state = _read_checkpoint(checkpoint, note)
        if state is None or not self._goes_on_from(state, note):
            self._prepare_round(None)

    def _begin(self) -> None:
        self.iteration, self.round = 0, 0
        self.soft_labels: list[torch.Tensor] | None = None
        self.curve: list[dict[str, Any]] = []
        self.seconds, self.timed_iterations, self.earlier_peak = 0.0, 0, 0
        self._loss_sum, self._loss_count = torch.zeros((), device=self.fabric.device), 0
        self._loss = build_loss(self.task.loss, self.settings, self.data).to(self.fabric.device)

    def _goes_on_from(self, state: dict[str, Any], note: Callable[[str], None]) -> bool:
        """Take a checkpoint's state; where it is not one of this training, be as before and say so."""
        try:
            self._take(state)
            self._prepare_round(state)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = type(error).__name__
            note(f"{self.checkpoint} is of another training ({reason}); this training begins anew")
            self._begin()
            return False
        return True

    @property
    def peak_memory_bytes(self) -> int:
        """The most memory that the training held, before an interruption included."""
        return max(self.earlier_peak, peak_memory(self.fabric.device))

    @property
    def seconds_per_iteration(self) -> float:
        """Mean over the iterations, without the first one of each process."""
        return self.seconds / max(1, self.timed_iterations)

    def run(self, advance: Callable[[float], None]) -> nn.Module:
        """Train to the end and return the network; `advance` gets the seconds of each iteration."""
        bounds = self._round_bounds()
        while True:
            begin, end = bounds[self.round]
            self._train_round(begin, end, advance)
            if self.round == len(bounds) - 1:
                self._save()
                return self.network
            self.soft_labels = self._predict_training_images()
            self.round += 1
            self._prepare_round(None)

    def keep_weights_only(self) -> None:
        """Replace the checkpoint by the weights, which a finished training leaves."""
        state = {"iteration": self.iteration, "network": self._module.state_dict()}
        _write_checkpoint(state, self.checkpoint)

    def _round_bounds(self) -> list[tuple[int, int]]:
        n = _SELF_DISTILLATION_ROUNDS if self.settings.framework == "selfdistillation" else 1
        edges = [self.settings.iterations * i // n for i in range(n + 1)]
        return list(pairwise(edges))

    def _prepare_round(self, state: dict[str, Any] | None) -> None:
        """Make network and optimiser of this round, fresh or with the weights of `state`."""
        seed_all(self.task.seed, INITIALISATION, self.round)
        n = out_channels(self.task.loss, self.settings, self.data)
        self._module = build_network(self.factory, self.data.in_channels, n, self.data.spatial_dims)
        if state is not None:
            self._module.load_state_dict(state["network"])
        module = torch.compile(self._module) if self.settings.compile else self._module
        optimizer = _build_optimizer(self.settings, self._module)
        self.network, self.optimizer = self.fabric.setup(module, optimizer)
        precision = self.fabric.strategy.precision
        if self.settings.precision == "16-mixed":
            precision.scaler = torch.amp.GradScaler(self.fabric.device.type)
        if state is not None:
            self.optimizer.load_state_dict(state["optimizer"])
            precision.load_state_dict(state["precision"])
        self.network.train()

    @property
    def predictor(self) -> Predictor:
        """What predicts whole images with the network as it is now."""
        depth = regresses_depth(self.task.loss, self.settings)
        return Predictor(self.fabric.device, self.network, self.data, depth=depth)

    def _train_round(self, begin: int, end: int, advance: Callable[[float], None]) -> None:
        labels = self.data.train.labels if self.soft_labels is None else self.soft_labels
        batches = training_batches(
            self.data,
            labels,
            self.augmentation,
            self.settings,
            seed=self.task.seed,
            first=self.iteration,
            end=end,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )
        first_of_process = self.iteration
        while self.iteration < end:
            start = time.perf_counter()
            images, targets = next(batches)
            self._step(images, targets, (self.iteration - begin) / (end - begin))
            self.iteration += 1
            mean_loss = self._mean_loss() if self._is_curve_point(end) else None
            seconds = time.perf_counter() - start
            if self.iteration > first_of_process + 1 or end - begin == 1:
                self.seconds += seconds
                self.timed_iterations += 1
            if mean_loss is not None:
                self._record(mean_loss, end)
            advance(seconds)
            self._save_now_and_then()

    def _step(self, images: torch.Tensor, targets: torch.Tensor, progress: float) -> None:
        seed_all(self.task.seed, STEP, self.iteration, self.fabric.global_rank)
        poly = self.settings.schedule == "poly"
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * ((1 - progress) ** _POLY_POWER if poly else 1.0)
        self._loss.loss.set_progress(progress)
        images, targets = self.fabric.to_device((images, targets))
        value = self._loss_of(self.network(images), targets)
        self.fabric.backward(value)
        if self.settings.clip_norm:
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.settings.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._loss_sum = self._loss_sum + value.detach()
        self._loss_count += 1

    def _loss_of(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss; with soft labels, the mean of that of the hardened ones and the cross-entropy.

        Topology terms need hard masks, whose skeletons and components they compare; what the teacher was
        unsure of reaches the student by the cross-entropy with its probabilities.
        """
        heads = _split_heads(output, self.data.spatial_dims)
        regions = self.data.regions
        try:
            if not targets.is_floating_point():
                return self._loss(heads, targets.long())
            hard = self._loss(heads, hardened(targets, regions))
        except InputError as error:
            raise self._failure(self.iteration + 1, str(error)) from error
        soft = soft_cross_entropy(heads, targets, regions=regions, ignores=self.data.ignores)
        return 0.5 * (hard + soft)

    def _predict_training_images(self) -> list[torch.Tensor]:
        """Return the probabilities of the foreground's classes in every training image, none augmented."""
        self.network.eval()
        return [self.predictor.probabilities(image) for image in self.data.train.images]

    def _is_curve_point(self, end: int) -> bool:
        every = max(1, self.settings.iterations // _CURVE_POINTS)
        return self.iteration % every == 0 or self.iteration == end or self._is_validation(end)

    def _is_validation(self, end: int) -> bool:
        every = self.settings.validation_interval
        return every > 0 and len(self.data.val) > 0 and (self.iteration % every == 0 or self.iteration == end)

    def _mean_loss(self) -> float:
        """Return the mean loss since the last point of the curve, over all processes."""
        mean = self._loss_sum / self._loss_count
        if self.fabric.world_size > 1:
            mean = self.fabric.all_reduce(mean)
        self._loss_sum, self._loss_count = torch.zeros_like(self._loss_sum), 0
        if not bool(torch.isfinite(mean)):  # of a loss that does not say so itself
            raise self._failure(self.iteration, f"the mean of the loss is {float(mean)}; expected a number")
        return float(mean)

    def _failure(self, iteration: int, reason: str) -> InputError:
        """Return the error that says when the training failed, and why."""
        return InputError(
            f"topodl evaluate: {self.task} failed in iteration {iteration}: {reason}; "
            "a lower --learning-rate may help if the training diverged"
        )

    def _record(self, mean_loss: float, end: int) -> None:
        point: dict[str, Any] = {"iteration": self.iteration, "loss": mean_loss}
        if self._is_validation(end):
            measured = predict_and_measure(self.fabric, self.predictor, self.data.val)
            by_metric = mean_by_metric(measured, self.data)
            point |= {name: by_metric[metric] for name, metric in VALIDATION_COLUMNS.items()}
        self.curve.append(point)

    def _save_now_and_then(self) -> None:
        if time.perf_counter() - self._saved_at >= self.settings.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            _write_checkpoint(self._state(), self.checkpoint)
        self._saved_at = time.perf_counter()

    def _state(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "round": self.round,
            "network": self._module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "loss": self._loss.state_dict(),
            "soft_labels": self.soft_labels,
            "curve": self.curve,
            "loss_sum": self._loss_sum.cpu(),
            "loss_count": self._loss_count,
            "seconds": self.seconds,
            "timed_iterations": self.timed_iterations,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def _take(self, state: dict[str, Any]) -> None:
        """Take everything from `state` but network and optimiser, which the round's preparation takes."""
        self.iteration, self.round = state["iteration"], state["round"]
        self.soft_labels, self.curve = state["soft_labels"], state["curve"]
        self._loss.load_state_dict(state["loss"])
        self._loss_sum = state["loss_sum"].to(self.fabric.device)
        self._loss_count = state["loss_count"]
        self.seconds, self.timed_iterations = state["seconds"], state["timed_iterations"]
        self.earlier_peak = state["peak_memory_bytes"]


def _write_checkpoint(state: dict[str, Any], path: Path) -> None:
    # Into a stream: of a full disk torch itself says no more than that a position was unexpected.
    with atomic_path(path) as partial, partial.open("wb") as stream:
        torch.save(state, stream)


def _load(path: Path) -> dict[str, Any] | str:
    """Return what a checkpoint holds, or what is wrong with it."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, UnpicklingError) as error:
        return f"cannot be read ({type(error).__name__})"


def _read_checkpoint(path: Path, note: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the state of a training under way, or None if the training has to begin anew."""
    if not path.exists():
        return None
    state = _load(path)
    if isinstance(state, dict) and "round" in state:
        return state
    problem = state if isinstance(state, str) else "holds the weights of a finished training alone"
    note(f"{path} {problem}; this training begins anew")
    return None


def _split_heads(output: Any, spatial_dims: int) -> list[torch.Tensor]:
    """Return what a network gave in training as a list of heads (B, C, *S)."""
    if isinstance(output, torch.Tensor):
        return list(output.unbind(1)) if output.ndim == spatial_dims + 3 else [output]
    return list(output)


def _build_optimizer(settings: StudySettings, module: nn.Module) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        betas = (settings.momentum, 0.999)
        return torch.optim.AdamW(module.parameters(), lr=rate, betas=betas, weight_decay=decay)
    nesterov = settings.momentum > 0
    return torch.optim.SGD(
        module.parameters(), lr=rate, momentum=settings.momentum, nesterov=nesterov, weight_decay=decay
    )
