"""A model's run as the pieces it consists of: operations, and the halves of layers that end in one.

A layer such as ``Dense(activation="relu")`` is two pieces, what it computes before its activation
and the activation. Whoever watches pieces sees every softmax and every rectifier of a graph in one
way, whether it is a layer, an argument of a layer, or a ``keras.ops`` function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_saliency.intercept import Handler, is_ours_to_split

# Layers whose output is their activation's. An RNN's cell has one too, but uses it on the way.
_ENDING = (
    "Dense", "EinsumDense",
    *(f"{kind}Conv{n}D" for n in (1, 2, 3) for kind in ("", "Separable", "Depthwise")),
    *(f"Conv{n}DTranspose" for n in (1, 2, 3)),
)  # fmt: skip

_FRAMEWORKS = ("jax", "tensorflow", "torch")  # their activations are Keras', by the same names
_OTHER_NAMES = {"softmax_v2": "softmax", "swish": "silu"}


@dataclass(frozen=True)
class Piece:
    """One step of a model's run.

    Attributes:
        operation: The Keras layer or operation it belongs to.
        name: What it computes: the operation's class name (``"Conv2D"``), or for an activation,
            also that of an ``Activation`` layer, the name of its function (``"relu"``).
        function: The step as a function of its floating point tensors; keywords go to the
            operation's call as well.
        inputs: These tensors.
        keywords: What the call was given by name.
    """

    operation: Any
    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """Return the step's output."""
        return self.function(*self.inputs)


Run = Callable[[Piece], Any]  # takes a piece, returns its output: Piece.run, or something else


def ends_in_activation(operation: Any) -> bool:
    """Whether an operation is a layer of two pieces."""
    import keras

    function = getattr(operation, "activation", None)
    return (
        is_ours_to_split(operation)
        and type(operation).__name__ in _ENDING
        and function not in (None, keras.activations.linear)
    )


def handler(operation: Any, run: Run) -> Handler:
    """Return what `intercept` needs so that each piece of an operation goes through ``run``."""
    return _both_halves(operation, run) if ends_in_activation(operation) else _whole(operation, run)


def _whole(operation: Any, run: Run) -> Handler:
    name = type(operation).__name__
    if name == "Activation":
        name = name_of(operation.activation)

    def handle(original, *args, **kwargs):
        return run(_piece(operation, name, original, args, kwargs))

    return handle


def _both_halves(layer: Any, run: Run) -> Handler:
    import keras

    # A shallow copy shares every variable; only the copy's activation is replaced.
    linear = _bare_copy(layer)
    object.__setattr__(linear, "activation", keras.activations.linear)

    def handle(original, *args, **kwargs):
        quantized = getattr(layer, "quantization_mode", None) is not None
        call = linear.quantized_call if quantized else linear.call
        before = run(_piece(layer, type(layer).__name__, call, args, kwargs))
        return run(Piece(layer, name_of(layer.activation), layer.activation, (before,)))

    return handle


def _bare_copy(layer: Any) -> Any:
    twin = object.__new__(type(layer))
    hidden = ("call", "quantized_call", "rematerialized_call")  # our own dispatchers stay behind
    twin.__dict__.update({k: v for k, v in layer.__dict__.items() if k not in hidden})
    return twin


def name_of(activation: Any) -> str:
    """Return what a piece is called that is just this function of a layer's."""
    import keras

    name = getattr(activation, "__name__", type(activation).__name__)
    if activation in (getattr(keras.activations, name, None), getattr(keras.ops, name, None)):
        return name
    module = str(getattr(activation, "__module__", "unknown"))
    alike = _OTHER_NAMES.get(name, name)
    # Over which axis PyTorch's softmax goes nobody can see.
    known = hasattr(keras.activations, alike) and not (module.startswith("torch") and "max" in name)
    return alike if known and module.split(".")[0] in _FRAMEWORKS else f"{name} of {module}"


def _piece(operation: Any, name: str, call: Any, args: Any, kwargs: Any) -> Piece:
    """Return a call as a function of the floating point tensors among its arguments."""
    import keras

    leaves = keras.tree.flatten((args, kwargs))
    places = [place for place, leaf in enumerate(leaves) if is_float(leaf)]

    def function(*tensors, **more):
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        new_args, new_kwargs = keras.tree.pack_sequence_as((args, kwargs), filled)
        return call(*new_args, **{**new_kwargs, **more})

    return Piece(operation, name, function, tuple(leaves[place] for place in places), kwargs)


def is_float(leaf: Any) -> bool:
    """Whether something is a floating point tensor."""
    import keras

    return keras.ops.is_tensor(leaf) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(leaf.dtype)
    )
