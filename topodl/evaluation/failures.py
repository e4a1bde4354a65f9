"""The error of trainings that failed, when the others of their study are finished."""

from __future__ import annotations

from topodl.errors import InputError

__all__ = ["TrainingFailedError"]


class TrainingFailedError(InputError):
    """Trainings of a study diverged or could not go on; what others wrote is whole."""
