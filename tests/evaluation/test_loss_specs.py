"""Losses with options as words: what they are read as, written as, and refused for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.evaluation.loss_specs import LossSpec, folder_name, parse_loss, ready_losses
from topodl.losses import ClDiceLoss, registry


def test_options_are_read_by_hand():
    spec = parse_loss("cldice: iterations=10, include_background=TRUE,class_weights=[1, 2.5]")
    expected = {"iterations": 10, "include_background": True, "class_weights": [1, 2.5]}
    assert (spec.name, spec.options) == ("cldice", expected)
    loss = spec.build()
    assert type(loss) is ClDiceLoss
    assert {name: loss.options[name] for name in expected} == expected


def test_there_is_one_way_to_write_a_loss():
    texts = ("cldice:iterations=3,include_background=true", "cldice:include_background=True, iterations = 3")
    assert {str(parse_loss(text)) for text in texts} == {"cldice:include_background=True,iterations=3"}
    assert str(parse_loss(" cldice ")) == "cldice"
    assert str(parse_loss("topo_loss:variant=topomortar")) == "topo_loss:variant=topomortar"


VALUES = st.one_of(
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(min_size=1).filter(lambda s: s.isprintable()),
    st.lists(st.integers(0, 9) | st.floats(0, 1) | st.just("a"), max_size=3),
)


@given(st.dictionaries(st.sampled_from(["iterations", "spacing", "ramp"]), VALUES))
def test_what_is_written_is_read_again(options):
    from topodl.evaluation import loss_specs

    spec = LossSpec("cldice", options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_specs.LossSpec, "build", lambda self: None)
        assert parse_loss(str(spec)) == spec


@given(st.text(max_size=30))
def test_a_folder_name_is_one_everywhere_and_stays_what_it_is(text):
    name = folder_name(f"cldice:{text}")
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', name)
    assert folder_name("cldice") == "cldice"


def test_a_folder_name_of_a_folder_name_is_the_same():
    loss = "cldice:class_weights=[1,2],iterations=10"
    assert folder_name(loss) == "cldice%3Aclass_weights=[1,2],iterations=10"
    assert folder_name(folder_name(loss)) == folder_name(loss)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cldise", r"losses is 'cldise' \(did you mean 'cldice'\?\); expected one of .*'warping'"),
        ("mosin", "losses has 'mosin', which needs an option that only Python can give it"),
        ("cldice:", "where '' is no option"),
        ("cldice:iterations", "where 'iterations' is no option; expected NAME or NAME:OPTION=VALUE"),
        ("cldice:iterations=", "where 'iterations=' is no option"),
        ("cldice:=3", "where '=3' is no option"),
        ("cldice:iterations=3,iterations=4", "gives 'iterations' twice; expected each option once"),
        ("cldice:iterations=3 4", "where '3 4' is no value; expected numbers, true, false, none, words"),
        ("cldice:reduction=none", "the study itself sets 'reduction'; expected another option"),
        ("cldice:iteration=3", "ClDiceLoss has no option 'iteration'; its options are .*iterations"),
        ("cldice:label_smoothing=2", r"label_smoothing is 2; expected a number in \[0, 1\]"),
    ],
)
def test_an_unusable_loss_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_loss(text)


def test_all_losses_but_those_that_need_a_network_can_be_named():
    assert ready_losses() == sorted(set(registry) - {"mosin"})
