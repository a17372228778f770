"""What every method is: one published idea that turns an engine into attributions."""

from __future__ import annotations

import dataclasses
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from keras_saliency import postprocess
from keras_saliency.errors import MethodError, did_you_mean

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_READ = "keras-saliency methods, or help(keras_saliency.methods)"
_PACKAGE = __name__.rsplit(".", 2)[0]  # methods are its modules; what they are made of is below
_registry: dict[str, type[Method]] = {}


@dataclass(frozen=True)
class Attribution:
    """What a method found.

    Attributes:
        values: (B, H, W, C) attributions of the pictures' values, or (B, h, w), a grid.
        checks: Numbers by which the method checks itself, each (B,).
        info: What else a manifest should say, such as the layer.
        findings: For each picture, sentences about what looks wrong; they become warnings.
    """

    values: np.ndarray
    checks: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[tuple[str, ...]] = ()

    @property
    def is_grid(self) -> bool:
        """Whether the values are a map already, without channels."""
        return self.values.ndim == 3


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
    * ``reference``: authors, title, year, arXiv id.
    """

    family: ClassVar[str]
    signed: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = True
    local: ClassVar[bool] = True
    reference: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register our own classes under their files' names; others are passed as objects."""
        super().__init_subclass__(**kwargs)
        package, _, file = cls.__module__.rpartition(".")
        if package == _PACKAGE:
            _registry[file] = cls

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse ``like`` where there is nothing to choose from, in words."""
        if "like" in options and "like" not in inspect.signature(cls.__init__).parameters:
            raise MethodError(
                f"{cls.__name__}(like={options['like']!r}) was asked for.",
                f"{cls.__name__} has no presets: where another library has it, nothing differs "
                "that an option could set.",
                "Leave like= out; docs/migrating.md says what each library does.",
                f"help(keras_saliency.methods.{cls.__name__})",
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:  # noqa: B027 (where a chain of these ends)
        """Refuse impossible options."""

    @property
    def name(self) -> str:
        """The name by which strings find it: that of its file (its class, if it is not ours)."""
        file = type(self).__module__.rpartition(".")[-1]
        return file if _registry.get(file) is type(self) else type(self).__name__

    @abstractmethod
    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Return attributions of the engine's pictures."""

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return a map (B, H, W) from attributions (B, H, W, C): here their sum over channels."""
        return postprocess.channel_sum(attributions)

    def shares(self, maps: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return what each pixel adds, (B, H, W), where the method attributes without channels.

        Metrics that sum over pixels ask for this. It is the map, unless a pixel of it tells what
        its whole segment adds.

        Args:
            maps: (B, H, W), what the method found.
            images: (B, H, W, C), of which it found that.
        """
        return maps

    def parameters(self) -> dict[str, Any]:
        """Return the options, for a manifest.

        An option that is a method is told by its name, as in ``"base": "integrated_gradients"``.
        Where that method has other options than its defaults, they stand beside it, as in
        ``"base_parameters": {"steps": 3, ...}``.
        """
        told: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = told[one.name] = getattr(self, one.name)
            if isinstance(value, Method):
                told[one.name] = value.name
                if not value._is_usual():
                    told[f"{one.name}_parameters"] = value.parameters()
        return told

    def _is_usual(self) -> bool:
        """Return whether every option is the default."""
        try:
            return bool(self == type(self)())
        except (TypeError, ValueError):  # an option without a default; arrays
            return False

    def _require(self, ok: bool, option: str, wanted: str) -> None:
        """Raise MethodError unless an option holds what it should."""
        if not ok:
            raise MethodError(
                f"{type(self).__name__}({option}={getattr(self, option)!r}) was asked for.",
                f"{option} must be {wanted}.",
                "Take such a value.",
                f"help(keras_saliency.methods.{type(self).__name__})",
            )

    def _require_count(self, option: str) -> None:
        """Raise MethodError unless an option is a whole number above 0."""
        value = getattr(self, option)
        self._require(isinstance(value, int) and value > 0, option, "a whole number above 0")

    def _require_share(self, option: str) -> None:
        """Raise MethodError unless an option is a finite number above 0."""
        value = getattr(self, option)
        good = isinstance(value, int | float) and math.isfinite(value) and value > 0
        self._require(good, option, "a number above 0")


def names() -> list[str]:
    """Return the names of all methods."""
    return sorted(_registry)


def classes() -> dict[str, type[Method]]:
    """Return the class of each method by its name."""
    return {name: _registry[name] for name in names()}


def get(method: str | Method | type[Method]) -> Method:
    """Return the method meant by explain()'s argument.

    Args:
        method: A name, a method, or a method's class (which stands for its defaults).

    Raises:
        MethodError: No such method.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if isinstance(method, str) and method in _registry:
        return _registry[method]()
    raise MethodError(
        f"The method {method!r} was asked for."
        if isinstance(method, str)
        else f"A method was asked for; {method!r} was given.",
        f"Known: {', '.join(names())}.",
        did_you_mean(str(method), names()) or "Take one of these.",
        _READ,
    )
