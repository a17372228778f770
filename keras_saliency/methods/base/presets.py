"""Doing as another library does: its options, where it differs from the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from keras_saliency.errors import MethodError
from keras_saliency.methods.base.method import Method, classes, get


class _Taken(str):
    """A library whose options a method has taken; `dataclasses.replace` hands it on as it is."""


@dataclass(frozen=True)
class Alike(Method):
    """A method with ``like="captum"``: that library's numbers, where they are not the paper's.

    ``presets`` says for each library which options it stands for. An option that is given besides
    ``like`` counts, whatever the library has. What only draws (scaling to 0..1, colours) is no part
    of a preset: values are never rescaled.

    Args:
        like: ``"captum"``, ``"tf-keras-vis"``, ``"pytorch-grad-cam"`` or ``"pair"``; None for the
            paper's way.

    Raises:
        MethodError: No such library; or all options are given besides, as `dataclasses.replace`
            gives them, so that another ``like`` would be a name and nothing else.

    Example:
        >>> methods.IntegratedGradients(like="pair", steps=10).quadrature
        'even'
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    like: str | None = field(default=None, kw_only=True)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Note which options are given: a value alone does not tell that from a default."""
        made = super().__new__(cls)
        places = [one.name for one in fields(cls) if not one.kw_only]
        made.__dict__["_given"] = {*places[: len(args)], *options}
        return made

    def __post_init__(self) -> None:
        """Take the library's options, except for those that were given."""
        given = self.__dict__.pop("_given", set())
        if self.like is not None:
            known = isinstance(self.like, str) and self.like in self.presets
            self._require(known, "like", f"one of {tuple(self.presets)}, or None")
            if len(given) > 1 and given == {one.name for one in fields(self)}:
                self._require_taken()
            for option, value in self.presets[self.like].items():
                if option not in given:
                    object.__setattr__(self, option, value)
            object.__setattr__(self, "like", _Taken(self.like))
        super().__post_init__()

    def _require_taken(self) -> None:
        """Refuse ``like`` where it can set nothing, unless it comes from one that did."""
        if not isinstance(self.like, _Taken):
            made = f"{type(self).__name__}(like={self.like!r})"
            raise MethodError(
                f"{made} was asked for, and all other options were given besides.",
                "So the library's options would not be taken; dataclasses.replace does this.",
                f"Make a new one, {made}, with the options that shall differ from the library's.",
                f"help(keras_saliency.methods.{type(self).__name__})",
            )

    def _part(self, method: Any) -> Method:
        """Return a method that this one is made of; a name stands for the same library's way."""
        kind = classes().get(method) if isinstance(method, str) else None
        if kind is not None and issubclass(kind, Alike) and self.like in kind.presets:
            return kind(like=self.like)
        return get(method)
