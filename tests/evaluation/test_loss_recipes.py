"""Combinations of losses as words: read, written, built, refused, and named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.evaluation.loss_names import display_name, loss_key
from topodl.evaluation.loss_recipes import Recipe, SumSpec, WrappedSpec, parse_recipe
from topodl.evaluation.loss_specs import LossSpec, folder_name
from topodl.losses import SCNP, CEDiceLoss, FadingLoss, TopographLoss, WeightedSumLoss

singles = st.sampled_from([LossSpec("ce_dice"), LossSpec("topograph", {"aggregation": "max"})])


def wrapped(specs):
    scnp = st.builds(lambda x, w: WrappedSpec("scnp", (x,), {"plain_weight": w}), specs, st.floats(0, 1))
    fade = st.builds(lambda x, y: WrappedSpec("fade", (x, y), {"ramp": 1e-05}), specs, specs)
    return scnp | fade


trees = wrapped(singles | wrapped(singles)) | singles
sums = st.builds(lambda pairs: SumSpec(tuple(pairs)),
                 st.lists(st.tuples(st.floats(1e-9, 1e20), trees), min_size=1, max_size=3))  # fmt: skip
rates, augmentations = st.floats(1e-8, 1e30), st.sampled_from(["none", "light"])
training = st.fixed_dictionaries({}, optional={"learning_rate": rates, "augmentation": augmentations})


@given(st.builds(Recipe, trees | sums, training))
def test_what_is_written_is_read_again(recipe):
    assert parse_recipe(str(recipe)) == recipe
    assert loss_key(str(recipe)) == loss_key(folder_name(str(recipe))) == loss_key(display_name(str(recipe)))


def test_a_combination_is_built_as_written():
    recipe = parse_recipe(
        "0.25*ce_dice + scnp(topograph: aggregation=max): plain_weight=0 @ learning_rate=0.01"
    )
    loss = recipe.build(lambda single: single.build())
    assert type(loss) is WeightedSumLoss
    assert loss.weights == [0.25, 1.0]
    first, second = loss.losses
    assert (type(first), type(second), type(second.loss)) == (CEDiceLoss, SCNP, TopographLoss)
    assert (second.plain_weight, second.loss.options["aggregation"]) == (0.0, "max")
    assert recipe.training == {"learning_rate": 0.01}
    assert [single.name for single in recipe.singles] == ["ce_dice", "topograph"]
    faded = parse_recipe("fade(ce_dice;scnp(ce_dice)):active_from=0.3,ramp=0.2").build(lambda x: x.build())
    assert (type(faded), faded.active_from, faded.ramp) == (FadingLoss, 0.3, 0.2)
    assert type(parse_recipe("ce_dice").build(lambda x: x.build())) is CEDiceLoss


def test_a_plus_in_a_number_is_no_sum():
    assert parse_recipe("1e+2*ce_dice").loss == SumSpec(((100.0, LossSpec("ce_dice")),))
    options = parse_recipe("topo_loss:topology_weight=1e+1+ce_dice").loss
    assert options.terms[0][1].options == {"topology_weight": 10.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scnp(ce_dise)", "did you mean 'ce_dice'"),
        ("scnp(ce_dice;topograph)", r"with 2 losses in brackets; expected scnp\(LOSS\)"),
        ("fade(ce_dice)", r"with 1 losses in brackets; expected fade\(LOSS;LOSS\)"),
        ("scnp(ce_dice):plain_weight=2", "plain_weight is 2"),
        ("scnp(ce_dice):colour=2", "has 'scnp"),
        ("fade(ce_dice;topograph):ramp=-1", "ramp is -1"),
        ("0*ce_dice+0*topograph", "expected a weight above 0"),
        ("1.2.3*ce_dice", "where '1.2.3' is no weight; expected a number"),
        ("ce_dice@learning_rate=0", "learning_rate is 0"),
        ("ce_dice@momentum=0", "whose setting is 'momentum'; expected"),
        ("ce_dice@augmentation=strong", "whose augmentation is 'strong'"),
        ("ce_dice@learning_rate=1@augmentation=none", "expected one @"),
        ("ce_dice+", "losses is ''"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_recipe(text)


def test_the_settings_of_one_training_are_its_own():
    from topodl.evaluation.settings import StudySettings

    losses = ["ce_dice@learning_rate=0.02,augmentation=none", "scnp(ce_dice)"]
    settings = StudySettings.of_protocol("quick", losses=losses, device="cpu")
    assert settings.losses[0] == "ce_dice@augmentation=none,learning_rate=0.02"
    own = settings.of_loss(settings.losses[0])
    assert (own.learning_rate, own.augmentation) == (0.02, "none")
    assert settings.of_loss(settings.losses[1]) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"losses": ["scnp(ce_dice)"], "loss_variant": "topomortar"}, "a combination of losses"),
        ({"losses": ["scnp(windowed_topo:variant=topomortar)"]}, "which regresses a depth"),
    ],
)
def test_published_losses_are_not_combined(values, message):
    from topodl.evaluation.settings import StudySettings

    with pytest.raises(InputError, match=message):
        StudySettings.of_protocol("quick", device="cpu", **values)


def test_tensors_of_a_combination_are_finite():
    loss = parse_recipe("0.5*topograph+0.5*scnp(ce_dice):plain_weight=0").build(lambda x: x.build())
    logits = torch.zeros(1, 2, 8, 8, device="cpu")
    assert loss(logits, torch.ones(1, 8, 8, dtype=torch.long, device="cpu")).isfinite()
