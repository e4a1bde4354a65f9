import numpy as np
import pytest
import torch

from .graphs import GOLDEN


@pytest.fixture(params=GOLDEN)
def golden(request, shared):
    """Return the file of each golden graph."""
    return np.load(shared / "golden" / "complexes" / f"{request.param}.npz")


@pytest.fixture
def golden_edges(golden):
    return torch.from_numpy(golden["edges"].T.astype(np.int64))
