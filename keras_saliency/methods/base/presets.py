"""Methods with another library's options: ``like="captum"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from keras_saliency.errors import MethodError
from keras_saliency.methods.base.method import Method, classes, get


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
