"""Whether the Python of a run does the same every time.

A recording is made of one run of Python. Keras' and PyTorch's own code does the same for the same
shapes; of all other code the bytecode is read. A run is recorded where that code only calls Keras
and PyTorch and reads values that can be compared before each playback: numbers, text and layers in
its module and on its objects. Code with counters, clocks, random numbers, files or unknown calls is
not recorded, and runs unchanged.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import torch

TRUSTED = {"keras", "keras_hub", "keras_saliency", "torch", "optree", "numpy"}
# Run by these or by the collector; one's own code that calls another of them is not recorded.
_BEHIND = {
    "jax",
    "jaxlib",
    "tensorflow",
    "sympy",
    "mpmath",
    "absl",
    "opt_einsum",
    "_distutils_hack",
}
_KNOWN = {*TRUSTED, *_BEHIND, *sys.stdlib_module_names} - {"__main__"}
_MODULES = {"keras", "keras_hub", "torch", "math", "numpy"}  # whose functions one may call
_WRITES = {
    "STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL", "STORE_SUBSCR", "STORE_SLICE",
    "DELETE_SUBSCR", "IMPORT_NAME", "IMPORT_FROM", "LOAD_NAME", "SETUP_ANNOTATIONS",
}  # fmt: skip
_BUILTINS = {
    "abs", "all", "any", "bool", "callable", "dict", "divmod", "enumerate", "filter", "float",
    "int", "isinstance", "issubclass", "len", "list", "map", "max", "min", "pow", "range",
    "reversed", "round", "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip",
    "True", "False", "None", "NotImplementedError", "ValueError", "TypeError", "RuntimeError",
    "AssertionError", "Exception", "KeyError", "IndexError", "NotImplemented", "Ellipsis",
}  # fmt: skip
_CHANGES = {"append", "pop", "extend", "insert", "setdefault", "popitem", "update", "clear",
            "remove", "__dict__", "__setattr__", "__setitem__"}  # fmt: skip
# Functions of allowed modules with another result each time, or with access to the outside.
_UNSTEADY = {
    "random", "default_rng", "get_uid", "from_dlpack", "to_dlpack", "from_numpy", "frombuffer",
    "from_file", "load", "initial_seed", "seed", "manual_seed", "get_rng_state", "fromfile",
    "utils", "_C", "ctypes", "ctypeslib", "callbacks", "memory_allocated", "Event", "sys", "os",
    "time", "environ", "src", "empty", "empty_like", "new_empty", "empty_strided",
}  # fmt: skip
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), torch.dtype, torch.Size)
_RECORDER = f"{__package__}.torch_recorded"  # below it on the stack is no part of the run
_LEAVES = (torch.Tensor, keras.Variable, types.ModuleType, *_PLAIN)  # without inner values
_MISSING = object()

Guard = Callable[[], bool]


class Purity:
    """The analysis of a run's Python.

    Attributes:
        reason: Why it cannot be recorded, or None.
        guards: Each returns whether a value that the Python read is unchanged. None of them holds
            a layer.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.guards: list[Guard] = []
        self._read: set[Any] = set()  # values that have a guard
        self._alive: list[Any] = []  # so that no id in it is reused; emptied at the end

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the Python that this thread runs in this block."""
        outer = sys.getprofile()
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(outer)
            self._alive.clear()
            self._read.clear()

    def _see(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if event != "call" or self.reason:
            return
        module = str(frame.f_globals.get("__name__", "?")).partition(".")[0]
        code = frame.f_code
        if module in _KNOWN or module in TRUSTED or module.startswith("namedtuple_"):
            # A layer of Keras may hold a tensor that is no variable, as Normalization its mean.
            if code.co_name in ("call", "quantized_call"):
                self._tensors_of(frame.f_locals.get("self"))
            return
        if _is_import(frame):
            return
        try:
            self._examine(frame, code)
        except _Unknown as error:
            self.reason = f"{getattr(code, 'co_qualname', code.co_name)} of {module} {error}"

    def _examine(self, frame: types.FrameType, code: types.CodeType) -> None:
        attributes, global_names, free = _reads(code)
        for name in global_names:
            names = frame.f_globals if name in frame.f_globals else vars(builtins)
            if names is frame.f_globals:
                self._read_name(names, name)
                self._attributes(names[name], attributes)
            elif name not in _BUILTINS:
                raise _Unknown(f"calls {name}")
        given = frame.f_locals
        for name in free:
            value = given.get(name, _MISSING)
            # The enclosing function may assign another number.
            if not (name == "__class__" or _is_layer(value) or _is_code(value)):
                raise _Unknown(f"reads {name} of the function around it")
        if attributes & _UNSTEADY:
            raise _Unknown(f"uses {', '.join(sorted(attributes & _UNSTEADY))}")
        for value in [v for name, v in given.items() if name != "__class__"]:
            if isinstance(value, list | dict | set) and attributes & _CHANGES:
                raise _Unknown("changes its arguments")
            self._attributes(value, attributes)

    def _read_name(self, names: dict[str, Any], name: str) -> None:
        key = (id(names), name)
        if key in self._read:
            return
        self._read.add(key)
        value = names.get(name)
        same = _steady(value)
        if same is None:
            raise _Unknown(f"reads {name}")
        self.guards.append(lambda: same(names.get(name, _MISSING)))

    def _tensors_of(self, layer: Any) -> None:
        if not isinstance(layer, keras.Operation) or id(layer) in self._read:
            return
        self._read.add(id(layer))
        self._alive.append(layer)
        for name, value in list(vars(layer).items()):
            if isinstance(value, torch.Tensor):
                self._guard(layer, name, _steady(value))

    def _attributes(self, owner: Any, names: frozenset[str], depth: int = 0) -> None:
        """Guard what code with these names may read of an object, and of its layers."""
        if isinstance(owner, _LEAVES):
            return
        if isinstance(owner, list | tuple | dict):
            within = owner.values() if isinstance(owner, dict) else owner
            for one in within:
                self._attributes(one, names, depth + 1)
            return
        if isinstance(owner, type):
            if _of_library(owner):
                return
        elif not _is_layer(owner):
            if _is_code(owner):  # examined when it runs
                return
            raise _Unknown(f"uses a {type(owner).__name__}")
        if (id(owner), names) in self._read or depth > 4:
            return
        self._read.add((id(owner), names))
        self._alive.append(owner)
        if _kind(owner).__module__.partition(".")[0] in TRUSTED and depth:
            names = names - {"weights", "variables"}
        for name in names:
            value = _static(owner, name)
            if value is _MISSING or _is_method(value):
                continue
            same = _steady(value)
            if same is None or (isinstance(value, list | dict | set) and names & _CHANGES):
                raise _Unknown(f"reads {_kind(owner).__name__}.{name}")
            self._guard(owner, name, same)
            if _is_layer(value) or isinstance(value, type | list | tuple | dict):
                self._attributes(value, names, depth + 1)

    def _guard(self, owner: Any, name: str, same: Callable[[Any], bool] | None) -> None:
        if same is None:
            raise _Unknown(f"reads {_kind(owner).__name__}.{name}")
        reference = weakref.ref(owner)
        self.guards.append(lambda: same(_static(reference(), name)))


class _Unknown(Exception):
    """Code that may do something else the next time."""


def _is_import(frame: types.FrameType | None) -> bool:
    """Whether a module is being imported, as Keras' and PyTorch's code does on first use."""
    while frame is not None and frame.f_globals.get("__name__") != _RECORDER:
        if str(frame.f_globals.get("__name__")).startswith("importlib."):
            return True
        frame = frame.f_back
    return False


@functools.lru_cache(maxsize=512)
def _reads(code: types.CodeType) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Return the attributes, global names and outer variables that code may read."""
    attributes, global_names = set(), []
    for step in dis.get_instructions(code):
        if step.opname in _WRITES:
            raise _Unknown(f"has {step.opname} {step.argval}")
        if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in code.co_freevars:
            raise _Unknown(f"changes {step.argval} of the function around it")
        if step.opname == "LOAD_GLOBAL":
            global_names.append(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            attributes.add(step.argval)
    return frozenset(attributes), tuple(dict.fromkeys(global_names)), code.co_freevars


def _static(owner: Any, name: str) -> Any:
    if owner is None:
        return _MISSING
    own = getattr(owner, "__dict__", {})
    inner = (own.get(f"_{kind}", {}) for kind in ("parameters", "buffers", "modules"))
    for values in (own, *inner):
        if isinstance(values, dict) and name in values:
            return values[name]
    return inspect.getattr_static(_kind(owner), name, _MISSING)


def _kind(owner: Any) -> type:
    return owner if isinstance(owner, type) else type(owner)


def _of_library(kind: type) -> bool:
    module = str(kind.__module__).partition(".")[0]
    return module in _KNOWN or module in TRUSTED


def _is_method(value: Any) -> bool:
    """Whether this is code of a class: Python code is examined when it runs."""
    kinds = (types.FunctionType, property, classmethod, staticmethod, functools.cached_property)
    slots = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)
    return isinstance(value, (*kinds, *slots, types.MethodDescriptorType, types.MethodType))


def _is_layer(value: Any) -> bool:
    return isinstance(value, keras.Operation | torch.nn.Module | keras.Variable)


def _is_code(value: Any) -> bool:
    """Whether this is a function or class that is examined when it runs, or one of Keras' own."""
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in _MODULES
    if isinstance(value, types.FunctionType | type):
        module = str(value.__module__).partition(".")[0]
        return module in _MODULES or module not in _KNOWN or module == "keras_saliency"
    if isinstance(value, types.BuiltinFunctionType):
        owner = getattr(value, "__self__", None)
        names = value.__module__, getattr(owner, "__name__", None)
        return any(str(name).partition(".")[0] in _MODULES for name in names if name)
    return False


def _steady(value: Any) -> Callable[[Any], bool] | None:
    """Return a check that a value is unchanged, None where that cannot be checked."""
    if isinstance(value, _PLAIN):
        return lambda now: type(now) is type(value) and (now == value or now is value)
    if _is_layer(value) or isinstance(value, torch.Tensor):
        identity = weakref.ref(value)
        return lambda now: now is identity()
    if _is_code(value):
        return lambda now: now is value
    if isinstance(value, list | tuple):
        each = [_steady(one) for one in value]
        if None in each:
            return None
        return lambda now: (
            isinstance(now, list | tuple)
            and len(now) == len(each)
            and all(same(one) for same, one in zip(each, now, strict=True) if same)
        )
    if isinstance(value, dict):
        keys, items = list(value), _steady(list(value.values()))
        if items is None:
            return None
        return lambda now: isinstance(now, dict) and list(now) == keys and items(list(now.values()))
    if isinstance(value, keras.DTypePolicy):
        return lambda now: now == value
    return None
