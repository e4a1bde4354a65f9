"""The messages about input."""

import numpy as np
import pytest
import torch

from topodl._checks import as_mask, as_tensor, check_tensor, reject_nan, reject_non_finite
from topodl.errors import InputError, MissingDependencyError


def test_nan_is_named_with_sample_and_position():
    x = torch.zeros(4, 20, 10)
    x[3, 12, 7] = float("nan")
    with pytest.raises(InputError) as error:
        reject_nan("cubical_persistence", "x", x, "finite values of shape (B, H, W)")
    assert str(error.value) == (
        "cubical_persistence: x[3] has NaN at (12, 7); expected finite values of shape (B, H, W)"
    )


def test_arrays_that_pytorch_refuses_are_copied():
    values = np.arange(6.0).reshape(2, 3)
    assert as_tensor(values[:, ::-1]).tolist() == [[2, 1, 0], [5, 4, 3]]
    fixed = values.copy()
    fixed.flags.writeable = False
    as_tensor(fixed)[0, 0] = 7.0
    assert fixed[0, 0] == 0.0
    as_tensor(values)[0, 0] = 7.0
    assert values[0, 0] == 7.0  # others are not


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(0, 3),
        torch.tensor([[float("inf"), float("-inf")]]),
        torch.zeros(2, 2, dtype=torch.int64),
        torch.full((2, 2), 3e38),
    ],
)
def test_infinite_empty_and_integer_values_are_not_nan(x):
    reject_nan("f", "x", x, "anything")


def test_what_is_not_finite_is_named_with_its_sample():
    x = torch.zeros(3, 2)
    reject_non_finite("f", "x", x)
    reject_non_finite("f", "x", torch.full((2, 2), 3e38))  # finite, though the sum is not
    x[2, 1] = float("-inf")
    with pytest.raises(InputError, match=r"f: x\[2\] has an infinite value; expected finite values"):
        reject_non_finite("f", "x", x)
    x[1, 0] = float("nan")
    with pytest.raises(InputError, match=r"f: x\[1\] has NaN at \(0\); expected finite values"):
        reject_non_finite("f", "x", x)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_masks_of_any_dtype(dtype):
    assert as_mask("f", "mask", torch.tensor([0, 1, 1]).to(dtype), "pixels count").tolist() == [0, 1, 1]


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, float("nan"), float("-inf")])
def test_floats_that_may_be_weights_are_no_mask(value):
    expected = "f: mask has floats other than 0 and 1; expected nonzero where pixels count, as booleans"
    with pytest.raises(InputError, match=expected):
        as_mask("f", "mask", torch.tensor([0.0, 1.0, value]), "pixels count")
    assert as_mask("f", "mask", torch.tensor([2, -3, 0]), "pixels count").tolist() == [True, True, False]


def test_wrong_type_names_the_argument():
    with pytest.raises(TypeError, match=r"f: x is a list; expected a torch.Tensor"):
        check_tensor("f", "x", [1])


def test_missing_dependency_tells_the_command():
    with pytest.raises(ImportError, match=r'pip install "topodl\[eval\]"'):
        raise MissingDependencyError("monai", extra="eval", purpose="topodl evaluate")
