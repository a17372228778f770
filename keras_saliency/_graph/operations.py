"""A model's run as the steps it consists of: operations, and the halves of layers that end in one.

A layer such as ``Dense(activation="relu")`` is two steps, what it computes before its activation
and the activation. Whoever watches steps sees every softmax and every rectifier of a graph in one
way, whether it is a layer, an argument of a layer, or a ``keras.ops`` function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_saliency._backend.hooks import Handler, is_builtin_keras_layer, rerouted

# Layers whose output is their activation's. An RNN's cell has one too, but uses it on the way.
_ENDING = (
    "Dense", "EinsumDense",
    *(f"{kind}Conv{n}D" for n in (1, 2, 3) for kind in ("", "Separable", "Depthwise")),
    *(f"Conv{n}DTranspose" for n in (1, 2, 3)),
)  # fmt: skip

_FRAMEWORKS = ("jax", "tensorflow", "torch")  # their activations are Keras', by the same names
_OTHER_NAMES = {"softmax_v2": "softmax", "swish": "silu"}


@dataclass(frozen=True)
class Step:
    """One step of a model's run.

    Attributes:
        operation: The Keras layer or operation it belongs to.
        name: What it computes: the operation's class name (``"Conv2D"``), or for an activation,
            also that of an ``Activation`` layer, the name of its function (``"relu"``).
        function: The step as a function of its floating point tensors; keywords go to the
            operation's call as well.
        inputs: These tensors.
        keywords: The call's keyword arguments.
        arguments: The call's positional arguments.
    """

    operation: Any
    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()

    def run(self) -> Any:
        """Return the step's output."""
        return self.function(*self.inputs)


Run = Callable[[Step], Any]  # takes a step, returns its output: Step.run, or a rule's


def ends_in_activation(operation: Any) -> bool:
    """Whether an operation is a layer of two steps."""
    import keras

    function = getattr(operation, "activation", None)
    return (
        is_builtin_keras_layer(operation)
        and type(operation).__name__ in _ENDING
        and function not in (None, keras.activations.linear)
    )


def handler(operation: Any, run: Run) -> Handler:
    """Return a handler for `intercept` that sends each step of an operation through ``run``."""
    return _both_halves(operation, run) if ends_in_activation(operation) else _whole(operation, run)


def _whole(operation: Any, run: Run) -> Handler:
    name = type(operation).__name__
    if name == "Activation":
        name = name_of(operation.activation)

    def handle(original, *args, **kwargs):
        return run(_step(operation, name, original, args, kwargs))

    return handle


def _both_halves(layer: Any, run: Run) -> Handler:
    import keras

    # A shallow copy shares every variable; only the copy's activation is replaced.
    linear = _shallow_copy(layer)
    object.__setattr__(linear, "activation", keras.activations.linear)

    def handle(original, *args, **kwargs):
        quantized = getattr(layer, "quantization_mode", None) is not None
        call = linear.quantized_call if quantized else linear.call
        before = run(_step(layer, type(layer).__name__, call, args, kwargs))
        activation = rerouted(original, layer.activation)
        return run(Step(layer, name_of(layer.activation), activation, (before,)))

    return handle


def _shallow_copy(layer: Any) -> Any:
    twin = object.__new__(type(layer))
    hidden = ("call", "quantized_call", "rematerialized_call")  # our own dispatchers stay behind
    twin.__dict__.update({k: v for k, v in layer.__dict__.items() if k not in hidden})
    return twin


def name_of(activation: Any) -> str:
    """Return the step name of a layer's activation function."""
    import keras

    name = getattr(activation, "__name__", type(activation).__name__)
    if activation in (getattr(keras.activations, name, None), getattr(keras.ops, name, None)):
        return name
    module = str(getattr(activation, "__module__", "unknown"))
    alike = _OTHER_NAMES.get(name, name)
    # The axis of PyTorch's softmax is unknown.
    known = hasattr(keras.activations, alike) and not (module.startswith("torch") and "max" in name)
    return alike if known and module.split(".")[0] in _FRAMEWORKS else f"{name} of {module}"


def _step(operation: Any, name: str, call: Any, args: Any, kwargs: Any) -> Step:
    """Return a call as a function of the floating point tensors among its arguments."""
    import keras

    leaves = keras.tree.flatten((args, kwargs))
    positions = [index for index, leaf in enumerate(leaves) if is_float(leaf)]

    def function(*tensors, **more):
        filled = list(leaves)
        for index, tensor in zip(positions, tensors, strict=True):
            filled[index] = tensor
        new_args, new_kwargs = keras.tree.pack_sequence_as((args, kwargs), filled)
        return call(*new_args, **{**new_kwargs, **more})

    inputs = tuple(leaves[index] for index in positions)
    return Step(operation, name, function, inputs, kwargs, args)


def is_float(leaf: Any) -> bool:
    """Whether a leaf is a floating point tensor."""
    import keras

    return keras.ops.is_tensor(leaf) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(leaf.dtype)
    )


def _with_ranks(*kinds: str) -> frozenset[str]:
    return frozenset(f"{kind}{rank}D" for kind in kinds for rank in (1, 2, 3))


RECTIFIERS = frozenset({
    "ReLU", "Relu", "relu", "Relu6", "relu6", "LeakyReLU", "LeakyRelu", "leaky_relu", "PReLU",
})  # fmt: skip

# One number in, one number out.
ELEMENTWISE = RECTIFIERS | {
    "ELU", "Elu", "elu", "Selu", "selu", "Celu", "celu", "Gelu", "gelu", "Silu", "silu", "swish",
    "Sigmoid", "sigmoid", "Tanh", "tanh", "TanhShrink", "tanh_shrink", "Softplus", "softplus",
    "Softsign", "softsign", "SoftShrink", "soft_shrink", "HardSigmoid", "hard_sigmoid", "HardSilu",
    "hard_silu", "hard_swish", "HardTanh", "hard_tanh", "HardShrink", "hard_shrink", "LogSigmoid",
    "log_sigmoid", "Mish", "mish", "exponential", "Threshold", "threshold", "SparsePlus",
    "sparse_plus", "Squareplus", "squareplus", "Exp", "Log", "Log1p", "Expm1", "Sqrt", "Square",
    "Abs", "Absolute", "Clip", "Power", "Erf", "Rsqrt", "Reciprocal",
}  # fmt: skip

# One number in, one number out, but no activation of a network's.
CURVES = frozenset({
    "Sign", "Floor", "Ceil", "Round", "Trunc", "Sin", "Cos", "Tan", "Arcsin", "Arccos", "Arctan",
    "Sinh", "Cosh", "Arcsinh", "Arccosh", "Arctanh", "Log2", "Log10", "Exp2", "Erfinv",
})  # fmt: skip

# In inference the numbers stay, or all of a channel are scaled alike.
SCALINGS = frozenset({
    "BatchNormalization", "Normalization", "Rescaling", "Negative", "linear",
})  # fmt: skip
NOTHING = frozenset({
    "InputLayer", "Identity", "Cast", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "StopGradient", *_with_ranks("SpatialDropout"),
})  # fmt: skip

TRAINED = SCALINGS | NOTHING  # some of these differ in training

# Numbers move, some of them to several positions.
MOVES = frozenset({
    "Flatten", "Reshape", "Permute", "Transpose", "Concatenate", "ExpandDims", "Squeeze", "GetItem",
    "Pad", "RepeatVector", "Repeat", "Stack", "Split", "Moveaxis", "Swapaxes", "BroadcastTo",
    "Flip", "Roll", "Ravel", "Slice", "Tile", "CenterCrop", "Take", "Unstack", "Rot90", "Hstack",
    "Vstack", "ArraySplit",
    *_with_ranks("ZeroPadding", "Cropping", "UpSampling"),
})  # fmt: skip

# The largest goes through, the others do not.
MAXIMA = frozenset({
    "Max", "Amax", "Maximum", "Minimum", "MaxPool", *_with_ranks("MaxPooling", "GlobalMaxPooling"),
})  # fmt: skip

# Sums with weights that are not trained.
SUMS = frozenset({
    "Add", "Subtract", "Average", "Mean", "Sum", "Resizing", "Resize", "AveragePool",
    *_with_ranks("AveragePooling", "GlobalAveragePooling"),
})  # fmt: skip

KERNELS = frozenset({
    "Dense", "EinsumDense", *_with_ranks("Conv", "SeparableConv", "DepthwiseConv"),
    *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
})  # fmt: skip

DENSE = frozenset({"Dense", "EinsumDense"})  # the other kernels are convolutions

PRODUCTS = frozenset({"Multiply", "TrueDivide", "Divide"})
SOFTMAXES = frozenset({"Softmax", "softmax"})

# Linear in each of two tensors.
BILINEAR = frozenset({
    "Matmul", "Einsum", "Dot", "Tensordot", "Inner", "Outer", "Vdot", "Kron", "Conv",
    "DepthwiseConv", "ConvTranspose",
})  # fmt: skip


def touches_rows(step: Step) -> bool:
    """Whether an operation may move the first axis, or values along it."""
    import keras

    if isinstance(step.operation, keras.Layer) or step.name not in MOVES:
        return False
    options = vars(step.operation)
    if step.name == "Transpose":
        return options.get("axes") is None or options["axes"][0] != 0
    rank = max(len(x.shape) for x in step.inputs) + (step.name in ("Stack", "ExpandDims"))
    axes = [options[name] for name in _AXES if options.get(name) is not None]
    flat = [one for axis in axes for one in (axis if isinstance(axis, tuple | list) else [axis])]
    return any(one % rank == 0 for one in flat)


_AXES = ("axis", "axes", "axis1", "axis2", "source", "destination")


def opens(operation: Any) -> bool:
    """Whether an operation's ``call`` is to be seen operation by operation.

    True for all that are not Keras' own, for the layers of `keras.applications`, and for Lambda.
    """
    applications = type(operation).__module__.startswith("keras.src.applications.")
    return (
        applications
        or not is_builtin_keras_layer(operation)
        or (type(operation).__name__ == "Lambda" and is_builtin_keras_layer(operation))
    )


def has_layers(operation: Any) -> bool:
    """Whether layers are inside an operation."""
    inside = getattr(operation, "_flatten_layers", None)
    return bool(inside and inside(include_self=False))


def is_container(operation: Any) -> bool:
    """Whether an operation only runs others, each a step of its own."""
    import keras

    if isinstance(operation, keras.Model):
        return True
    return not is_builtin_keras_layer(operation) and has_layers(operation)


def is_nothing(name: str) -> bool:
    """Whether a step leaves its input as it is in inference."""
    return name in NOTHING or name.startswith("Random")


def is_weighted_average(step: Step) -> bool:
    """Whether a step is `keras.ops.average` with weights, which need not be constants."""
    import keras

    own = not isinstance(step.operation, keras.Layer)  # the layer averages several tensors
    return own and step.name == "Average" and len(step.inputs) > 1
