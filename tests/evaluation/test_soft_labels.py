"""Labels of self-distillation: hardened, and compared with logits, by hand and by PyTorch."""

import math

import pytest
import torch
import torch.nn.functional as F

from topodl.evaluation.soft_labels import hardened, soft_cross_entropy, with_background
from topodl.losses import topomortar_head_weights


def test_the_background_has_what_is_left_and_the_likeliest_class_wins():
    soft = torch.tensor([[[[0.2, 0.5, -1.0, 0.1]], [[0.3, 0.4, -1.0, 0.8]]]])
    assert with_background(soft)[0, 0, 0, :2].tolist() == pytest.approx([0.5, 0.1])
    assert hardened(soft, regions=False).tolist() == [[[[0, 1, 255, 2]]]]
    assert hardened(soft, regions=True).tolist() == [[[[0, 0, 255, 0]], [[0, 0, 255, 1]]]]


def test_one_class_is_hardened_at_one_half():
    soft = torch.tensor([[[[0.5, 0.5000001, 0.4999999]]]])
    assert hardened(soft, regions=False).flatten().tolist() == [0, 1, 0]


def test_the_cross_entropy_of_hard_probabilities_is_that_of_labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    label = torch.randint(3, (2, 4, 5), generator=generator)
    soft = F.one_hot(label, 3).movedim(-1, 1)[:, 1:].float()
    value = soft_cross_entropy([logits], soft, regions=False, ignores=False)
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, label)), rel=1e-5)
    label[:, :2] = 255
    soft[:, :, :2] = -1
    value = soft_cross_entropy([logits], soft, regions=False, ignores=True)
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, label, ignore_index=255)), rel=1e-5)


def test_regions_by_hand():
    logits, soft = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, -1.0]], [[0.0, 0.5]]]])
    value = soft_cross_entropy([logits], soft, regions=True, ignores=True)
    assert float(value) == pytest.approx(math.log(2))


def test_heads_are_weighted_and_smaller_ones_see_smaller_labels():
    fine, coarse = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)
    coarse[:, 1] = 3
    soft = torch.ones(1, 1, 4, 4)
    value = soft_cross_entropy([fine, coarse], soft, regions=False, ignores=False)
    first, second = topomortar_head_weights(2)
    expected = first * math.log(2) + second * math.log(1 + math.exp(-3))
    assert float(value) == pytest.approx(expected, rel=1e-5)
