"""What is done on CUDA alone: each module that asks for it is tested, CUDA's functions being substituted."""

import ast
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from topodl import check
from topodl.errors import InputError
from topodl.evaluation import StudySettings, memory, randomness, scheduler, training
from topodl.persistence import _batch

PACKAGE = Path(__file__).parents[1] / "topodl"
GPU = torch.device("cuda", 0)
TESTED = {
    *("check.py", "persistence/_batch.py", "evaluation/memory.py", "evaluation/randomness.py"),
    *("evaluation/scheduler.py", "evaluation/settings.py", "evaluation/training.py"),
}
NO_BRANCH = {
    "evaluation/data.py": "asks its loader for pinned memory",
    "evaluation/study.py": "writes the name of the GPU down",
    "integrations/nnunet_trainers/topodl_trainers.py": "the default of nnU-Net's own signature",
}


def asks_for_cuda(path):
    """Return whether code, docstrings and help apart, names a kind of device or CUDA's functions."""
    return any(
        (isinstance(node, ast.Constant) and node.value == "cuda")
        or (isinstance(node, ast.Attribute) and node.attr == "cuda")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_no_other_module_asks_for_cuda():
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if asks_for_cuda(path)}
    assert found == TESTED | NO_BRANCH.keys()


class GPUTensor(torch.Tensor):
    """A tensor of the host that says it is one of a GPU."""

    device = GPU
    is_cpu = False


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_come_through_pinned_memory_and_their_own_stream_alone_is_waited_for(monkeypatch, dtype):
    events, empty = [], torch.empty

    def pinned(shape, *, dtype, device, pin_memory):
        events.append(f"empty on {device}, pinned: {pin_memory}")
        return empty(shape, dtype=dtype, device=device)

    stream = SimpleNamespace(synchronize=lambda: events.append("waits"))
    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: events.append(device) or stream)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    host = _batch.to_host(x.as_subclass(GPUTensor))
    assert events == ["empty on cpu, pinned: True", GPU, "waits"]
    assert host.dtype == torch.float32
    assert host.tolist() == x.tolist()


def test_integers_go_back_from_pinned_memory_without_waiting(monkeypatch):
    events = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: events.append("pinned") or self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, non_blocking: events.append((device, non_blocking)) or self
    )
    table = np.arange(6).reshape(2, 3)
    assert _batch.to_device(table, GPU).tolist() == table.tolist()
    assert events == ["pinned", (GPU, True)]


def test_trainings_on_a_gpu_are_reproducible_and_leave_the_setting_as_it_was():
    before = torch.are_deterministic_algorithms_enabled()
    with training.reproducible(GPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before


def test_the_peak_of_a_gpu_is_what_torch_allocated(monkeypatch):
    reset = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7 * device.index + 5)
    memory.reset_peak_memory(GPU)
    assert reset == [GPU]
    assert memory.peak_memory(torch.device("cuda", 1)) == 12


def test_random_numbers_of_every_gpu_are_put_back(monkeypatch):
    forked, fork = [], torch.random.fork_rng
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: forked.extend(devices) or fork(devices=[]))
    with randomness.private_randomness():
        pass
    assert forked == [0, 1]


def test_workers_take_the_gpus_that_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert scheduler._visible_gpus() == ["3", "5"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, "cuda"), ({"device": "cuda:1"}, "cuda:1"), ({"device": "cuda", "devices": 2}, "cuda")],
)
def test_a_study_takes_the_gpus_that_are_there(monkeypatch, values, expected):
    with_gpus(monkeypatch, 2)
    assert StudySettings.of_protocol("quick", **values).device == expected


@pytest.mark.parametrize("values", [{"device": "cuda:2"}, {"device": "cuda", "devices": 4}])
def test_a_study_names_the_gpus_that_are_missing(monkeypatch, values):
    with_gpus(monkeypatch, 2)
    with pytest.raises(InputError, match="at most the 2 CUDA GPUs of this machine"):
        StudySettings.of_protocol("quick", **values)


def with_gpus(monkeypatch, n):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)


def test_the_check_counts_what_waits_for_a_gpu(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with check._counted() as waits:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert (len(waits), modes) == (1, ["warn", 0])
    assert check._now(GPU) > 0
