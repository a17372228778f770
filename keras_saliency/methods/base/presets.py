"""Doing as another library does: its options, where it differs from the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from keras_saliency.methods.base.method import Method, classes, get


@dataclass(frozen=True)
class Alike(Method):
    """A method with ``like="captum"``: that library's numbers, where they are not the paper's.

    ``presets`` says for each library which options it stands for. An option that is given besides
    ``like`` counts, whatever the library has. What only draws (scaling to 0..1, colours) is no part
    of a preset: values are never rescaled.

    Args:
        like: ``"captum"``, ``"tf-keras-vis"``, ``"pytorch-grad-cam"`` or ``"pair"``; None for the
            paper's way.

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
        given = self.__dict__.pop("_given", ())
        if self.like is not None:
            known = isinstance(self.like, str) and self.like in self.presets
            self._require(known, "like", f"one of {tuple(self.presets)}, or None")
            for option, value in self.presets[self.like].items():
                if option not in given:
                    object.__setattr__(self, option, value)
        super().__post_init__()

    def _part(self, method: Any) -> Method:
        """Return a method that this one is made of; a name stands for the same library's way."""
        kind = classes().get(method) if isinstance(method, str) else None
        if kind is not None and issubclass(kind, Alike) and self.like in kind.presets:
            return kind(like=self.like)
        return get(method)
