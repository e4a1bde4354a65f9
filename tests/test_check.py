"""The check of an installation: it finds what differs, and passes where nothing does."""

import pytest
import torch

from topodl import check
from topodl.errors import InputError
from topodl.losses import registry


def lines_of(capsys, *arguments):
    status = check.main(["--device", "cpu", "--size", "12", *arguments])
    return status, capsys.readouterr().out.splitlines()


def test_here_all_is_equal(capsys):
    status, lines = lines_of(capsys, "--repeats", "1", "--time-size", "16")
    assert status == 0
    n = 8 + len(registry.keys() - {"mosin"})
    assert any(line.startswith(f"{n} of {n} functions give on several threads the value") for line in lines)
    assert "| cavity | takes volumes, not timed | |" in lines
    assert any(line.startswith("| torch | ") for line in lines)


def test_step_times_are_divided_by_those_of_the_baseline(capsys):
    _, lines = lines_of(capsys, "--repeats", "1", "--time-size", "16", "--losses", "cldice")
    start = lines.index("| loss | ms | over CE + Dice |")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :]]
    assert [row[0] for row in rows] == ["ce_dice", "cldice"]
    assert rows[0][2] == "1.0"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, labels: x.sum() * torch.rand((), device="cpu"), "value: "),
        (lambda x, labels: _noisy(x), "gradient: "),
        (lambda x, labels: 1 / 0, "ZeroDivisionError"),
        (lambda x, labels: x.sum().to("meta"), "the result is on meta"),
    ],
    ids=["value", "gradient", "error", "device"],
)
def test_what_differs_is_found(call, says):
    outcome = check._compare("it", call, torch.device("cpu"), 8)
    assert says in outcome.wrong


def _noisy(x):
    """Return 0 with a gradient that is another at every call."""
    return ((x - x.detach()) * torch.rand(x.shape, device="cpu")).sum()


@pytest.mark.parametrize(
    ("arguments", "says"), [(["--device", "nowhere"], "device"), (["--losses", "x"], "losses has 'x'")]
)
def test_what_is_not_there_is_named(arguments, says):
    with pytest.raises(InputError, match=says):
        check.main(arguments)
