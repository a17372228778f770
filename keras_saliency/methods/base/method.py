"""The base class of methods: one published idea that turns an engine into attributions."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from keras_saliency._inputs import KINDS, PICTURE, SEVERAL, Kind, resampling
from keras_saliency.errors import MethodError, _arguments, did_you_mean

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_READ = "keras-saliency methods, or help(keras_saliency.methods)"
_PACKAGE = __name__.rsplit(".", 2)[0]  # methods are its modules; their base classes are below
_registry: dict[str, type[Method]] = {}
EVERY = (*KINDS, SEVERAL.name)  # the kinds of a method that treats each value by itself


@dataclass(frozen=True)
class Attribution:
    """The result of a method.

    Attributes:
        values: Attributions of the inputs' values, (B, *space, C); or a grid (B, h, w) of any size.
        checks: Numbers by which the method checks itself, each (B,).
        info: Further entries of the manifest, such as the layer: plain data (numbers, text, lists,
            dicts, arrays). ``"method"``, ``"seed"`` and the other keys of every run are reserved.
        findings: For each picture, sentences about what looks wrong; they become warnings.
    """

    values: np.ndarray
    checks: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Method(ABC):
    """A way to attribute a score to pixels. Its options are its fields.

    Class attributes are claims, and each is tested:

    * ``family``: gradient, path, cam or perturbation;
    * ``signed``: the sign of its map has a meaning (else the map is non-negative);
    * ``complete``: attributions sum to y(x) - y(baseline);
    * ``stochastic``: the map depends on the seed;
    * ``needs_gradient``: it cannot work on a score without derivatives;
    * ``local``: a pixel that the score ignores gets 0 (a grid blurs that);
    * ``kinds``: the kinds of input that it has a meaning for;
    * ``reference``: authors, title, year, arXiv id.
    """

    family: ClassVar[str]
    signed: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = True
    local: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = tuple(KINDS)
    reference: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register this package's classes by their files' names; others are passed as objects."""
        super().__init_subclass__(**kwargs)
        package, _, file = cls.__module__.rpartition(".")
        if package == _PACKAGE:
            _registry[file] = cls

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Raise MethodError on ``like`` without presets, and on options of the wrong type."""
        if "like" in options and "like" not in inspect.signature(cls.__init__).parameters:
            raise MethodError(
                f"{cls.__name__} has no presets: no option of it differs in another library.",
                f"Got {cls.__name__}(like={options['like']!r}).",
                "Leave like= out; docs/migrating.md says what each library does.",
                f"help(keras_saliency.methods.{cls.__name__})",
            )
        fields = {one.name: one for one in dataclasses.fields(cls)}
        named = [name for name, one in fields.items() if not one.kw_only]
        for name, value in [*zip(named, args, strict=False), *options.items()]:
            if name in fields and not _fits(fields[name].type, value):
                wanted = "True or False" if fields[name].type == "bool" else "a word"
                raise MethodError(
                    f"Expected {name} to be {wanted}.",
                    f"Got {cls.__name__}({name}={value!r}).",
                    "Take such a value.",
                    f"help(keras_saliency.methods.{cls.__name__})",
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:  # noqa: B027
        """Check the options."""

    @property
    def name(self) -> str:
        """The name that strings refer to: its file's, or its class's outside this package."""
        file = type(self).__module__.rpartition(".")[-1]
        return file if _registry.get(file) is type(self) else type(self).__name__

    @abstractmethod
    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Return attributions of the engine's pictures."""

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return a map (B, *space) from attributions (B, *space, C): here the channels' sum."""
        return resampling.channel_sum(attributions)

    def shares(self, maps: np.ndarray, images: np.ndarray, kind: Kind = PICTURE) -> np.ndarray:
        """Return each pixel's contribution, (B, *space), where attributions have no channels.

        Metrics that sum over pixels use it. It is the map, unless a pixel of the map holds the
        value of its whole segment.

        Args:
            maps: (B, *space), the method's maps.
            images: (B, *space, C), the pictures that they explain.
            kind: What these are.
        """
        return maps

    def not_for(self, kind: Kind) -> MethodError:
        """Return the error for a kind of input that the method has no meaning for."""
        return MethodError(
            f"Method {self.name!r} is for {', '.join(self.kinds)}.",
            f"The explained input is {kind.one}: {kind.shape}.",
            "Take another method, such as 'integrated_gradients' or 'occlusion'.",
            _READ,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the options, for a manifest.

        A method is stored by name, ``"base": "idgi"``, and its options, where they are not the
        defaults, as ``"base_parameters": {"steps": 3, ...}``.
        """
        parameters: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = parameters[one.name] = getattr(self, one.name)
            if isinstance(value, Method):
                parameters[one.name] = value.name
                if not value._is_usual():
                    parameters[f"{one.name}_parameters"] = value.parameters()
        return parameters

    def _is_usual(self) -> bool:
        """Return whether every option is the default."""
        with contextlib.suppress(TypeError, ValueError):  # it may have none, or be an array
            return bool(self == type(self)())
        return False

    def _require(self, ok: bool, option: str, wanted: str) -> None:
        """Raise MethodError unless ``ok``: the option is not as ``wanted`` says."""
        if not ok:
            raise MethodError(
                f"Expected {option} to be {wanted}.",
                f"Got {type(self).__name__}({option}={getattr(self, option)!r}).",
                "Take such a value.",
                f"help(keras_saliency.methods.{type(self).__name__})",
            )

    def _require_count(self, option: str) -> None:
        """Raise MethodError unless an option is a whole number above 0; store it as an int."""
        value = getattr(self, option)
        self._require(_arguments.is_count(value), option, "a whole number above 0")
        object.__setattr__(self, option, operator.index(value))

    def _require_share(self, option: str, *, zero: bool = False) -> None:
        """Raise MethodError unless an option is a finite number above 0, or 0 where it may be."""
        value = getattr(self, option)
        good = _arguments.is_number(value) and (value > 0 or (zero and value == 0))
        self._require(good, option, "a number, 0 or more" if zero else "a number above 0")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value has the type of an option that takes True or False, or a word."""
    if kind == "bool":
        return isinstance(value, bool | np.bool_)
    if str(kind).startswith(("Literal[", "Interpolation")):
        return value is None or isinstance(value, str)
    return True


def names() -> list[str]:
    """Return the names of all methods."""
    return sorted(_registry)


def classes() -> dict[str, type[Method]]:
    """Return the class of each method by its name."""
    return {name: _registry[name] for name in names()}


def get(method: str | Method | type[Method]) -> Method:
    """Return the method meant by explain()'s argument.

    Args:
        method: A name in any usual spelling (``"grad_cam"``, ``"Grad-CAM"``), a method, or a
            method's class (which stands for its defaults).

    Raises:
        MethodError: No such method.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if isinstance(method, str) and (name := resolve(method, _registry)) is not None:
        return _registry[name]()
    raise MethodError(
        f"No method is called {method!r}."
        if isinstance(method, str)
        else f"Expected a method or its name. Got {method!r}.",
        f"Known: {', '.join(names())}.",
        did_you_mean(str(method), names()) or "Take one of these.",
        _READ,
    )


# What other libraries and papers call them, as `_squashed` writes it.
_SYNONYMS = {
    "backprop": "gradient", "blurig": "blur_integrated_gradients", "deconvolution": "deconvnet",
    "gradcamplusplus": "grad_cam_pp",
    "gradientinput": "input_x_gradient", "gradienttimesinput": "input_x_gradient",
    "gradientxinput": "input_x_gradient", "guidedbackpropagation": "guided_backprop",
    "guidedig": "guided_integrated_gradients", "ig": "integrated_gradients",
    "inputtgradient": "input_x_gradient", "inputtimesgradient": "input_x_gradient",
    "layerwiserelevancepropagation": "lrp", "saliency": "gradient", "saliencymap": "gradient",
    "shapleyvaluesampling": "shapley_sampling", "vanillagradient": "gradient",
    "vanillagradients": "gradient",
}  # fmt: skip


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.replace("+", "plus")).lower()


def resolve(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is meant, in any of the usual spellings; None if there is none.

    Example:
        >>> names = ["grad_cam", "grad_cam_pp", "integrated_gradients"]
        >>> [resolve(one, names) for one in ("Grad-CAM", "gradcam++", "IG", "grad")]
        ['grad_cam', 'grad_cam_pp', 'integrated_gradients', None]
    """
    if name in known:
        return name
    squashed = _squashed(name)
    for one in known:
        if _squashed(one) == squashed:
            return one
    result = _SYNONYMS.get(squashed)
    return result if result in known else None


def _as_base(claim: str) -> Any:
    return property(lambda method: getattr(method.base, claim), doc="As the base.")


class WrapperMethod(Method):
    """A method that runs another one, and by default makes the same claims as that one."""

    base: Any

    signed = _as_base("signed")
    needs_gradient = _as_base("needs_gradient")
    local = _as_base("local")
    kinds = _as_base("kinds")

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return the map that the base makes."""
        return self.base.to_map(attributions)


class _Taken(str):
    """A library whose options a method has taken; `dataclasses.replace` passes it on as it is."""


@dataclass(frozen=True)
class PresetMixin(Method):
    """A method with ``like="captum"``: that library's numbers, where they are not the paper's.

    ``presets`` maps each library to its options. An option passed besides ``like`` overrides the
    library's. Drawing (scaling to 0..1, colours) is not part of a preset: values are never
    rescaled.

    Args:
        like: ``"captum"``, ``"tf-keras-vis"``, ``"pytorch-grad-cam"`` or ``"pair"``; None takes
            the paper's options.

    Raises:
        MethodError: No such library; or all other options are passed too, as
            `dataclasses.replace` passes them, so that another ``like`` would have no effect.

    Example:
        >>> methods.IntegratedGradients(like="pair", steps=10).quadrature
        'even'
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    like: str | None = field(default=None, kw_only=True)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Record which options are passed: a value alone may be a default."""
        made = super().__new__(cls, *args, **options)
        positional = [one.name for one in fields(cls) if not one.kw_only]
        made.__dict__["_passed"] = {*positional[: len(args)], *options}
        return made

    def __post_init__(self) -> None:
        """Take the library's options, except for those that were passed."""
        passed = self.__dict__.pop("_passed", set())
        if self.like is not None:
            known = isinstance(self.like, str) and self.like in self.presets
            self._require(known, "like", f"one of {tuple(self.presets)}, or None")
            if len(passed) > 1 and passed == {one.name for one in fields(self)}:
                self._require_taken()
            for option, value in self.presets[self.like].items():
                if option not in passed:
                    object.__setattr__(self, option, value)
            object.__setattr__(self, "like", _Taken(self.like))
        super().__post_init__()

    def _require_taken(self) -> None:
        """Raise MethodError where ``like`` has no effect, unless another object took it before."""
        if not isinstance(self.like, _Taken):
            made = f"{type(self).__name__}(like={self.like!r})"
            raise MethodError(
                "Expected like= with some options left out, which the library's then set.",
                f"Got {made} with all other options too; dataclasses.replace passes them.",
                f"Make a new one, {made}, with the options that shall differ from the library's.",
                f"help(keras_saliency.methods.{type(self).__name__})",
            )

    def _part(self, method: Any) -> Method:
        """Return a method inside this one; a name takes the same library's options."""
        kind = classes().get(method) if isinstance(method, str) else None
        if kind is not None and issubclass(kind, PresetMixin) and self.like in kind.presets:
            return kind(like=self.like)
        return get(method)
