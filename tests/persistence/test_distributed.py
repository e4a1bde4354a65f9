from pathlib import Path

import pytest
import torch
from torch import multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import topodl


def model_and_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    return model.double(), torch.rand(4, 1, 10, 10, dtype=torch.float64)


def topological_loss(model, batch):
    """Return a sum over the images, each one also taken as a cloud whose points are its rows."""
    images = model(batch)[:, 0]
    diagrams = (topodl.cubical_persistence(images), topodl.rips_persistence(images))
    return sum(d.finite().persistence().sum() for d in diagrams)


def _train_in_process(rank: int, folder: str) -> None:
    store = Path(folder, "store").as_uri()
    torch.distributed.init_process_group("gloo", store, rank=rank, world_size=2)
    topodl.set_num_threads(2)
    model, batch = model_and_batch()
    parallel = DistributedDataParallel(model)
    topological_loss(parallel, batch[2 * rank : 2 * rank + 2]).backward()
    torch.save([parameter.grad for parameter in model.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    mp.spawn(_train_in_process, args=(tmp_path.as_posix(),), nprocs=2)
    model, batch = model_and_batch()
    (
        topological_loss(model, batch) / 2
    ).backward()  # DistributedDataParallel takes the mean of both processes
    expected = [parameter.grad for parameter in model.parameters()]
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
