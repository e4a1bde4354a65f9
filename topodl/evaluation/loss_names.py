"""Names of losses: from the folder, or the argument with options, to the name that tables show."""

from __future__ import annotations

from urllib.parse import unquote

__all__ = ["bare_name", "display_name", "loss_key", "position"]

# The study's order and its names; a loss of topodl's own stands where its original does.
_STUDY_NAMES = {
    "cedice": "CEDice", "regionwise": "RWLoss", "topo": "TopoLoss", "msetopowin": "TOPO",
    "windowedtopo": "TOPO", "cldice": "clDice", "warping": "Warping", "ceskeletonrecall": "SkelRecall",
    "skeletonrecall": "SkelRecall", "cbdice": "cbDice",
}  # fmt: skip


def display_name(name: str) -> str:
    """Return the name of a loss in tables: the study's own where it has one, and the options as given.

    Parameters
    ----------
    name : str
        The loss as `topodl evaluate --losses` takes it, or the name of its folder.

    Examples
    --------
    >>> display_name("CESkeletonRecallLoss"), display_name("ce_dice"), display_name("BettiMatchingLoss")
    ('SkelRecall', 'CEDice', 'BettiMatching')
    >>> display_name("cldice:iterations=10,include_background=true")
    'clDice (iterations=10, include_background=true)'
    >>> display_name("ce_dice@learning_rate=0.01"), display_name("0.5*ce_dice+0.5*scnp(ce_dice)")
    ('CEDice @ learning_rate=0.01', '0.5*ce_dice+0.5*scnp(ce_dice)')
    """
    whole, training = _loss_and_training(name)
    if training:
        return f"{display_name(whole)} @ {', '.join(training)}"
    if _is_combined(whole):
        return whole
    loss, options = _parts(whole)
    known = _STUDY_NAMES.get(_letters(loss))
    shortened = loss.removesuffix("Loss").removesuffix("_loss") or loss
    shown = known or "".join(word[:1].upper() + word[1:] for word in shortened.split("_"))
    return f"{shown} ({', '.join(options)})" if options else shown


def loss_key(name: str) -> str:
    """Return what is the same for all spellings of a loss and its options: argument, folder, name in tables.

    Examples
    --------
    >>> loss_key("cldice:iterations=10") == loss_key("clDice (iterations=10)")
    True
    """
    whole, training = _loss_and_training(name)
    if training:
        return "@".join([loss_key(whole), *sorted(training)])
    if _is_combined(whole):
        return whole.replace(" ", "")
    loss, options = _parts(whole)
    return ":".join([_letters(loss), *sorted(options)])


def position(name: str) -> int:
    """Return where a loss stands in tables: the study's losses in its order, then the others."""
    names = list(_STUDY_NAMES.values())
    known = _STUDY_NAMES.get(bare_name(name))
    return names.index(known) if known else len(names)


def bare_name(name: str) -> str:
    """Return the letters of a loss without its options and settings; a combination as it is.

    Examples
    --------
    >>> bare_name("ce_dice:dice_weight=2@learning_rate=0.01"), bare_name("scnp(ce_dice)")
    ('cedice', 'scnp(ce_dice)')
    """
    whole, _ = _loss_and_training(name)
    return whole if _is_combined(whole) else _letters(_parts(whole)[0])


def _loss_and_training(name: str) -> tuple[str, list[str]]:
    """Split a name into the loss and the settings of its training behind the last @."""
    loss, at, training = unquote(name).rpartition("@")
    return (loss.strip(), _listed(training)) if at else (training.strip(), [])


def _is_combined(loss: str) -> bool:
    """Say whether this is a sum of losses or what SCNP or a fade makes of them."""
    return loss[:1].isdigit() or loss.startswith(("scnp(", "fade("))


def _parts(name: str) -> tuple[str, list[str]]:
    """Split a name, decoded where it is a folder's, into the loss and its options."""
    loss, _, options = unquote(name).partition(":")
    if not options and loss.endswith(")") and " (" in loss:
        loss, _, options = loss.removesuffix(")").partition(" (")
    return loss.strip(), _listed(options)


def _listed(options: str) -> list[str]:
    return [option.strip() for option in options.split(",") if option.strip()]


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum()).removesuffix("loss")
