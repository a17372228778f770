"""What the three backends say in the same words."""

from __future__ import annotations

from keras_saliency.errors import GradientError


def not_differentiable() -> GradientError:
    """Return the error for a score that no derivative reaches."""
    return GradientError(
        "The gradient of the score was asked for.",
        "No differentiable path leads from the picture to it: on the way stands an integer input, "
        "argmax, rounding, a stopped gradient or a detour outside keras.ops.",
        "Choose another target, or a method that needs no gradient, such as 'occlusion'.",
        "help(keras_saliency.targets)",
    )
