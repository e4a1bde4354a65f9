"""`topodl nnunet`: what nnU-Net needs to find the trainers."""

from __future__ import annotations

import argparse
import ast
import os

from topodl.integrations.nnunet import trainer_folder

__all__ = ["add_arguments", "run"]

_DESCRIPTION = """\
Prints the line for your shell that lets nnU-Net find topodl's trainers, and lists them with --list. With
bash: eval "$(topodl nnunet)"; then nnUNetv2_train DATASET 2d 0 -tr nnUNetTrainerTopodlClDice."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `topodl nnunet` to `parser`."""
    parser.description = _DESCRIPTION
    parser.add_argument("--list", action="store_true", help="list the trainers instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the line, or the trainers."""
    if arguments.list:
        for name, summary in _trainers():
            print(f"{name:40} {summary}")
    elif os.name == "nt":
        print(f'set "nnUNet_extTrainer={trainer_folder()}"')
    else:
        print(f"export nnUNet_extTrainer='{trainer_folder()}'")
    return 0


def _trainers() -> list[tuple[str, str]]:
    """Return name and first line of each trainer; read, not imported, since nnU-Net need not be here."""
    source = (trainer_folder() / "topodl_trainers.py").read_text(encoding="utf-8")
    classes = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name[0] != "_"]
    return [(c.name, (ast.get_docstring(c) or "").splitlines()[0]) for c in classes]
