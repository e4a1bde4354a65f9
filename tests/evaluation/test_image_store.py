"""Images that do not fit into memory: the same values from a file, and the same study."""

import errno

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.evaluation.case_folders import pairs
from tests.evaluation.given_images import splits
from tests.evaluation.test_study import results
from topodl import InputError
from topodl.evaluation import image_store
from topodl.evaluation.image_store import ImageStore
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study


@given(
    several=st.lists(
        arrays(st.sampled_from([np.uint8, np.float32]), array_shapes(min_dims=1, max_dims=4, max_side=5)),
        min_size=1,
        max_size=5,
    ),
    room=st.integers(0, 200),
)
def test_what_is_kept_is_what_was_given(several, room):
    store = ImageStore(room / 2**30)
    kept = [store.keep(torch.from_numpy(values)) for values in several]
    for values, tensor in zip(several, kept, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), values)
        assert tensor.numpy().dtype == values.dtype


def test_only_what_is_beyond_goes_to_the_disk():
    first, second, third = torch.zeros(100), torch.arange(50.0), torch.ones(3, 2)[:, 0]
    store = ImageStore(512 / 2**30)
    assert store.keep(first) is first
    mapped = store.keep(second)
    assert mapped is not second
    mapped[0] = 7.0  # of this tensor alone
    assert store.keep(third) is third
    assert mapped[:3].tolist() == [7.0, 1.0, 2.0]
    assert ImageStore(0.0).keep(third).tolist() == [1.0, 1.0, 1.0]


def test_a_full_disk_is_named(monkeypatch):
    class Full:
        def seek(self, *place):
            return 0

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            return

    monkeypatch.setattr(image_store.tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(InputError, match=r"do not fit into the temporary folder .*No space left.* TMPDIR"):
        ImageStore(0.0).keep(torch.zeros(4))


@pytest.mark.parametrize("source", ["a folder", "Python"])
def test_a_study_from_the_disk_is_that_from_memory(tmp_path, source):
    data = pairs(tmp_path / "data", 4) if source == "a folder" else None
    own = {} if source == "a folder" else {"data": splits()}
    runs = []
    for memory in (4.0, 0.0):
        settings = StudySettings.of_protocol(
            "quick", data=data, iterations=2, batch_size=2, validation_interval=0, device="cpu", seeds=[1],
            losses=["ce_dice"], patch_size=16, image_memory=memory,
        )  # fmt: skip
        runs.append(run_study(settings, tmp_path / str(memory), **own))
    assert results(runs[0]) == results(runs[1])
    run_study(settings, runs[0].root, **own)  # the same study
