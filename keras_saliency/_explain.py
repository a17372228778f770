"""explain(): the whole pipeline, from picture to map."""

from __future__ import annotations

import copy
import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np

from keras_saliency import methods, targets
from keras_saliency._engine import weights
from keras_saliency._engine.engine import Engine
from keras_saliency._engine.plan import BatchSize
from keras_saliency._engine.together import sharing
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import KerasModel, ModelCache
from keras_saliency._inputs import KindName, resampling, text
from keras_saliency._inputs.batch import Batch
from keras_saliency._inputs.given import prepare
from keras_saliency._inputs.pictures import ModelInputs
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency._io.encoding import plain
from keras_saliency._results import checks, provenance
from keras_saliency._results.explanation import Explanation
from keras_saliency._results.joint import JointExplanation, by_input
from keras_saliency._results.side_by_side import Explanations
from keras_saliency.errors import MethodError, _arguments
from keras_saliency.methods import Attribution, Method
from keras_saliency.targets import Target
from keras_saliency.targets.base import TargetLike

_READ = "help(keras_saliency.explain)"
_TOP_CLASS = targets.TopClass()


class Options(TypedDict, total=False):
    """The options of every explanation, which `explain` documents."""

    preprocess: Preprocessing
    batch_size: BatchSize
    seed: int
    kind: KindName | None


Joint = list[str] | tuple[str, ...] | Literal["all"]  # several inputs, explained together
MethodLike = str | Method | type[Method]


@overload  # in full, for editors that complete by the first form and read no TypedDict (Jedi)
def explain(
    model: KerasModel,
    image: ModelInputs,
    method: MethodLike = ...,
    *,
    target: TargetLike = ...,
    preprocess: Preprocessing = ...,
    batch_size: BatchSize = ...,
    seed: int = ...,
    kind: KindName | None = ...,
    inputs: None = ...,
) -> Explanation: ...


@overload
def explain(  # type: ignore[overload-overlap]
    model: KerasModel,
    image: ModelInputs,
    method: MethodLike = ...,
    *,
    target: TargetLike = ...,
    inputs: Joint,
    **options: Unpack[Options],
) -> JointExplanation: ...


@overload
def explain(
    model: KerasModel,
    image: ModelInputs,
    method: MethodLike = ...,
    *,
    target: TargetLike = ...,
    inputs: str,
    **options: Unpack[Options],
) -> Explanation: ...


@overload
def explain(
    model: KerasModel,
    image: ModelInputs,
    method: MethodLike = ...,
    *,
    target: targets.Top | Sequence[Target | Callable[[Any], Any]],
    inputs: str | None = ...,
    **options: Unpack[Options],
) -> Explanations[Explanation]: ...


@overload
def explain(
    model: KerasModel,
    image: ModelInputs,
    method: list[Any] | tuple[Any, ...],
    *,
    target: Any = ...,
    inputs: str | None = ...,
    **options: Unpack[Options],
) -> Explanations[Explanation]: ...


def explain(  # type: ignore[misc]
    model: KerasModel,
    image: ModelInputs,
    method: MethodLike = "gradient",
    *,
    target: TargetLike = None,
    preprocess: Preprocessing = "auto",
    batch_size: BatchSize = 8,
    seed: int = 0,
    kind: KindName | None = None,
    inputs: str | Sequence[str] | None = None,
) -> Explanation | JointExplanation | Explanations[Explanation] | Explanations[JointExplanation]:
    """Show where a Keras model looks.

    The model is left unchanged. The first call on a model compiles; later calls with other
    pictures, classes or weights do not.

    Args:
        model: A Keras 3 model: Functional, Sequential (built or not) or subclassed.
        image: A picture (path, ``PIL.Image``, (H, W) or (H, W, C) array), a batch (B, H, W, C), or
            a list of pictures, which may differ in size. uint8 pixels, paths and PIL images are
            resized to the model's input and preprocessed; float arrays count as preprocessed, and
            are refused where they cannot be. Or what else the model takes: a signal, a volume, a
            video or a table as an array, a batch, a list or paths of files (``.npy``, ``.npz``,
            ``.csv``, ``.wav``, ``.nii``, ``.gif``, ``.mp4``); a DataFrame, the names of its columns
            kept in ``info["features"]``; a text or a list of texts, where the model has a
            tokenizer, its tokens kept in ``info["words"]``. For a model with several inputs a dict
            by input name: the first entry that takes pictures is explained, the others are held
            fixed.
        method: A name from ``keras-saliency methods``, or a method with options such as
            ``methods.IntegratedGradients(steps=100)``; a list of them gives an `Explanations`.
        target: What is explained: ``None`` the predicted class, an int a class, a list of ints a
            class for each picture, an object of `keras_saliency.targets`, or a callable
            ``outputs -> (B,)`` scores. The score is the logit unless the target says otherwise. A
            list of such objects gives an `Explanations`, one for each, in the same order;
            ``targets.Top(3)`` one for each of the three highest classes.
        preprocess: ``"auto"`` (a keras_hub task's own; none for models that rescale by themselves;
            that of ``keras.applications`` for its networks, recognised by their layers),
            ``"caffe"``, ``"tf"``, ``"torch"``, ``None`` (pixels 0..255 unchanged), a callable of a
            float32 batch of pixels 0..255, or a ``preprocessing.Preprocess``.
        batch_size: Pictures (or variants of them) that go through the model at once. More costs
            memory; on JAX and TensorFlow it can be a quarter faster, on PyTorch it is slower.
            ``"auto"`` begins with 8, takes more while that is faster, and fewer where memory runs
            out: worth it for many pictures or long methods.
        seed: For methods that draw random numbers. The same seed gives the same map.
        kind: ``"picture"``, ``"signal"``, ``"volume"``, ``"video"``, ``"tokens"`` or ``"table"``;
            None finds it in the layers that take the input, or asks.
        inputs: Of a model with several inputs, which are explained: a name, or ``"all"`` or a list
            of names, together along one joint path: the result is then a `JointExplanation`.

    Returns:
        An `Explanation`: ``values`` (B, H, W) float32, of other kinds (B, *space),
        ``attributions`` in the shape of the input or None, ``maps()`` in each picture's own frame,
        ``plot()``, ``save()``.

    Raises:
        KerasSaliencyError: See `keras_saliency.errors`; each message says what to do.

    Example:
        >>> import keras_saliency
        >>> from keras_saliency.pretrained import efficientnet_lite0, sample_photo
        >>> e = keras_saliency.explain(efficientnet_lite0(), sample_photo(), "grad_cam")
        >>> e.labels
        ('espresso',)
    """
    if isinstance(method, list | tuple) and method:
        rest: Any = {"target": target, "preprocess": preprocess, "batch_size": batch_size}
        rest |= {"seed": seed, "kind": kind, "inputs": inputs}
        each = [explain(model, image, one, **rest) for one in method]
        return Explanations(e for one in each for e in (one if isinstance(one, list) else [one]))
    started = time.perf_counter()
    if type(batch_size) is not int or type(seed) is not int or not 0 < batch_size < 1e6 or seed < 0:
        batch_size = _arguments.batch_size(batch_size)
        seed = _arguments.seed(seed, MethodError, _READ)
    chosen, options = _named(method) if type(method) is str else (methods.get(method), None)
    adapter = adapted(model, chosen, preprocess)
    several = None if target is None else targets.several(target)
    first = _TOP_CLASS if target is None else several[0] if several else targets.get(target)

    def made(attempt: int) -> tuple[Batch, list[Explanation]]:
        if attempt:  # another thread changes the model
            adapter.cache.forget()
        adapter.state = weights.held(adapter.model)
        batch = prepare(adapter, image, preprocess, kind, inputs)
        if batch.kind.name not in chosen.kinds:
            raise chosen.not_for(batch.kind)
        engine = Engine(adapter, first, batch, batch_size)
        its = adapter, batch
        run = functools.partial(attributed, *its, method=chosen, seed=seed, batch_size=batch_size)
        if several is None:
            return batch, [run(engine, started=started, options=options)]
        return batch, _of_several(adapter, several, engine, chosen, run)

    words = model.built and adapter.cache.get_or_create(("words",), lambda: adapter.embeds)
    if words and _is_own(chosen):  # their vectors are made of the weights as well
        batch, wholes = weights.consistently(adapter.model, made)[0]
    else:
        batch, wholes = made(0)
    results: list[Any] = []
    for whole in wholes:
        for row, check in enumerate(whole.checks):
            for finding in check["findings"]:
                warnings.warn(f"picture {row}: {finding}", stacklevel=2)
        results.append(by_input(whole, batch, chosen) if batch.parts else whole)
    return results[0] if several is None else Explanations(results)


def _of_several(
    adapter: Adapter, several: list[Target], engine: Engine, method: Method, run: Any
) -> list[Explanation]:
    """Return the explanation of each target, on one state of the weights; a method of the user's,
    which may change the model, has one for each."""

    def each(attempt: int) -> list[Explanation]:
        if attempt:  # another thread changes the model
            adapter.cache.forget()
        return [run(one, started=time.perf_counter()) for one in sharing(engine, several)]

    if _is_own(method):
        return weights.consistently(adapter.model, each)[0]
    engines = [*map(engine.with_target, several)]  # all are checked before any is run
    return [run(one, started=time.perf_counter()) for one in engines]


@functools.lru_cache
def _named(name: str) -> tuple[Method, dict[str, Any]]:
    """Return a method by its name, and its options for the manifest."""
    method = methods.get(name)
    return method, _options(method)


def _options(method: Method) -> dict[str, Any]:
    return {"method": method.name, "parameters": plain(method.parameters())}


def adapted(model: Any, method: Method, preprocess: Any = None) -> Adapter:
    """Return a model for one call, whose configuration is read once if no other code can change it.

    Raises:
        ModelError: It is not a Keras 3 model.
    """
    own = _is_own(method) and not callable(preprocess)
    cache = ModelCache(model, within_call=own)
    if not model.built or cache.get_or_create(("texts",), lambda: text.begins_with_texts(model)):
        adapter = text.adapter(model)
        cache = ModelCache(adapter.model, within_call=own)
    else:
        adapter = Adapter(model)
    adapter.cache = cache
    return adapter


def _is_own(method: Method) -> bool:
    """Whether a method runs code of this package only."""
    options = vars(method).values()
    inner = all(_is_own(one) for one in options if isinstance(one, Method))
    own = type(method).__module__.startswith("keras_saliency.")
    return own and inner and not any(map(callable, options))


def attributed(
    adapter: Adapter,
    batch: Batch,
    engine: Engine,
    method: Method,
    seed: int,
    batch_size: BatchSize,
    started: float,
    options: Mapping[str, Any] | None = None,
) -> Explanation:
    """Return the explanation of a prepared batch; findings go to ``checks``, without warnings.

    Args:
        adapter: The model.
        batch: The pictures.
        engine: The model, these pictures and a target.
        method: The method.
        seed: Of its random numbers.
        batch_size: That of the engine, for the manifest.
        started: Start time, by ``time.perf_counter``.
        options: The method's entries of the manifest, where they are known.
    """

    def run(attempt: int) -> tuple[Engine, Attribution]:
        if attempt:  # another thread changes the model
            adapter.cache.forget()
        current = engine.with_target(engine.target) if attempt else engine
        result = method.attribute(current, seed)
        _ = current.scores
        return current, result

    model = adapter.model
    (engine, result), digest = weights.consistently(model, run, hashed=True)
    checks.check_info(method, result.info)
    if engine.is_grid(result.values):
        attributions, values = None, resampling.resize(result.values, batch.images.shape[1:-1])
    else:
        attributions = result.values.astype(np.float32, copy=False)
        values = method.to_map(result.values).astype(np.float32, copy=False)
    values, attributions, padded = checks.without_padding(batch, values, attributions)
    aux = engine.aux
    shown = checks.Shown.of(engine)
    return Explanation(
        values=values,
        attributions=None if attributions is None else batch.kind.as_given(attributions),
        scores=engine.scores,
        probabilities=aux.get("probability") if shown.is_class else None,
        targets=tuple(engine.chosen_target.describe(len(values))),
        labels=shown.labels(adapter, aux.get("index"), len(values)),
        pictures=batch.originals,
        geometries=batch.geometries,
        signed=method.signed,
        checks=checks.checks(
            method,
            result,
            values,
            engine,
            (batch.findings, padded, shown.findings(aux.get("index"))),
            checks.notes(adapter),
        ),
        info={
            "kind": batch.kind.name,
            **batch.facts,
            **(copy.deepcopy(options) if options else _options(method)),
            "score": engine.target.score,
            "seed": seed,
            "preprocess": batch.preprocessed,
            "batch_size": batch_size,
            **checks.own_info(result, engine),
            "model": model.name,
            **provenance.of_backend(),
            "seconds": round(time.perf_counter() - started, 4),
        },
        model_sha256=digest,
    )
