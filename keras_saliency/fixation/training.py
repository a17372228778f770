"""Training: stages in order, a checkpoint of the whole state, the weights of the best epoch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency._io import track
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency.errors import FixationModelError, SaveError, _arguments
from keras_saliency.fixation import checkpoint
from keras_saliency.fixation.checkpoint import CachedFeatures
from keras_saliency.fixation.encoder_decoder import FixationModel
from keras_saliency.fixation.layers import FixationLoss
from keras_saliency.fixation.model import Preset, Stage, find, save_model

_CHECKPOINT = "checkpoint.npz"
_AHEAD = 4  # batches that are prepared while one is learned from
_READ = "help(keras_saliency.fixation.train)"


def train(
    preset: str | Preset,
    batches: Any,
    validation: Any,
    folder: str | PathLike[str],
    *,
    seed: int = 0,
    weights: str | PathLike[str] | None = "imagenet",
    every: float = 300.0,
    tell: Callable[[str], None] = lambda line: None,
    about: dict[str, Any] | None = None,
) -> Path:
    """Train a fixation model; the same call resumes after an interruption.

    Everything is drawn from ``seed``, and the checkpoint holds weights, optimizer, random states,
    step of the epoch and history; so a training that was interrupted ends with the same weights as
    one that was not.

    Args:
        preset: A name of ``fixation.model.PRESETS``, or a `Preset`.
        batches: Training batches, such as ``data.FixationBatches(..., shuffle=True)``.
        validation: Batches, not shuffled, whose loss chooses the best epoch.
        folder: Where ``checkpoint.npz``, ``history.csv``, ``history.png`` and ``model`` go.
        seed: Of weights and dropout; the batches have their own.
        weights: The encoder's, as in `FixationModel`.
        every: Seconds between checkpoints within an epoch; there is one after each epoch anyway.
        tell: Called with a line about each epoch.
        about: More entries of the model's manifest, such as data sets and command.

    Returns:
        The folder ``model``, for `load_model` and ``predict_fixations(model=...)``.

    Raises:
        FixationModelError: The loss is not finite, or the checkpoint is of another training.
        SaveError: A checkpoint cannot be written; the one before is intact.

    Example:
        >>> from keras_saliency.fixation import data
        >>> recordings = data.read_table("fixations", split="train")  # doctest: +SKIP
        >>> batches = data.FixationBatches(recordings, [(288, 384)],
        ...                                augment=data.Augment(), shuffle=True)  # doctest: +SKIP
        >>> train("default", batches, validation, "run")  # doctest: +SKIP
    """
    seed = _arguments.seed(seed, FixationModelError, _READ, high=2**32 - 1)
    name, preset = (preset, find(preset)) if isinstance(preset, str) else ("own", preset)
    data = [one.fingerprint() for one in (batches, validation)]
    run = _Run(name, preset, data, local_path(folder, _READ), seed, weights, every, tell)
    for number, stage in enumerate(preset.stages):
        run.stage(number, stage, batches, validation)
    return run.finish(about or {})


class _Run:
    """A running training: a model, and the state that the checkpoint holds beside its weights."""

    def __init__(
        self,
        name: str,
        preset: Preset,
        data: list[str],
        folder: Path,
        seed: int,
        weights: Any,
        every: float,
        tell: Callable[[str], None],
    ) -> None:
        self.preset, self.folder, self.every, self._tell = preset, folder, every, tell
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(
                f"Cannot write a training to {str(folder)!r}.",
                f"{error}.",
                "Name a folder that can be written.",
                _READ,
            ) from error
        keras.utils.set_random_seed(seed)
        self.state: dict[str, Any] = {
            "preset": name,
            "recipe": _plain(asdict(preset)),
            "seed": seed,
            "dataset": data,
            "backend": keras.config.backend(),
            "stage": 0,
            "epoch": 0,
            "step": 0,
            "sum": 0.0,
            "seconds": 0.0,
            "best": None,
            "history": [],
        }
        result = checkpoint.load(folder / _CHECKPOINT)
        self._stored = None if result is None else result[1]
        if result is not None:
            self._check(result[0])
            self.state = result[0]
            tell(f"resuming from {folder / _CHECKPOINT}")
        # What is in the checkpoint need not be read, downloaded or drawn.
        self.model = FixationModel(
            **preset.build, input_shape=(None, None, 3), weights=None if result else weights
        )
        self.best: list[np.ndarray] = []
        if self._stored is not None:
            checkpoint.assign(self.model.variables, self._stored["model"])
            self.best = self._stored.get("best", [])
        self._clock = time.monotonic()

    def _check(self, result: dict[str, Any]) -> None:
        for key in ("preset", "recipe", "seed", "dataset", "backend"):
            if result.get(key) != self.state[key]:
                raise FixationModelError(
                    f"Cannot resume the training in {str(self.folder)!r}.",
                    f"It was begun with another {key}.",
                    "Name another folder, or delete the checkpoint to start anew.",
                    _READ,
                )

    # ------------------------------------------------------------------ one stage

    def stage(self, number: int, stage: Stage, batches: Any, validation: Any) -> None:
        """Run a stage, or what is left of it."""
        if self.state["stage"] != number:
            return
        model = self.model if stage.encoder else self.model.get_layer("decoder")
        if not stage.encoder:
            cache = self.folder / "features"
            batches, validation = (
                CachedFeatures(self.model, one.without_windows(), cache / name, f"{name} features")
                for name, one in (("train", batches), ("validation", validation))
            )
        _freeze_normalisation(self.model)
        optimizer = _optimizer(stage, len(batches))
        model.compile(optimizer=optimizer, loss=self._loss())
        optimizer.build(model.trainable_variables)
        if self._stored is not None and "optimizer" in self._stored:
            checkpoint.assign(optimizer.variables, self._stored["optimizer"])
        self._stored = None
        while self.state["epoch"] < stage.epochs and not self.should_stop_early(stage):
            self._epoch(model, stage, batches, validation)
        if self.best:
            checkpoint.assign(self.model.weights, self.best)
        shutil.rmtree(self.folder / "features", ignore_errors=True)
        if self.state["best"] is not None:  # still the best: the next stage may be worse
            self.state["best"]["epoch"] = -1
        self.state.update(stage=number + 1, epoch=0, step=0, sum=0.0)
        self._save(None)

    def should_stop_early(self, stage: Stage) -> bool:
        epoch = self.state["epoch"]
        return epoch > 0 and epoch - self.state["best"]["epoch"] > stage.patience

    def _epoch(self, model: Any, stage: Stage, batches: Any, validation: Any) -> None:
        epoch, started = self.state["epoch"], time.monotonic()
        batches.epoch = epoch
        label = f"{stage.name}, epoch {epoch + 1} of {stage.epochs}"
        steps = track(
            _prefetched(batches, self.state["step"]), len(batches) - self.state["step"], label
        )
        for x, truth in steps:
            loss = float(np.asarray(model.train_on_batch(x, truth)))
            _check_finite(loss, label)
            self.state["step"] += 1
            self.state["sum"] += loss
            if time.monotonic() - self._clock > self.every:
                self._count(started)
                started = time.monotonic()
                self._save(model.optimizer)
        learned = self.state["sum"] / len(batches)
        result = self._validate(model, stage, validation)
        _check_finite(result, label)
        self._count(started)
        row = {
            "stage": stage.name,
            "epoch": epoch + 1,
            "loss": learned,
            "validation_loss": result,
            "seconds": round(self.state["seconds"], 1),
        }
        self.state["history"].append(row)
        self.state.update(epoch=epoch + 1, step=0, sum=0.0)
        self._tell(f"{label}: loss {learned:.4f}, validation {result:.4f}")
        self._save(model.optimizer)
        checkpoint.write(self.folder, self.state["history"])

    def _validate(self, model: Any, stage: Stage, validation: Any) -> float:
        """Return the validation loss; store the weights where they are the best so far."""
        raw = None
        if stage.ema:
            learned = model.trainable_variables
            raw = checkpoint.values(learned)
            model.optimizer.finalize_variable_values(learned)
            # On JAX weights and averages share one buffer now, which predict_on_batch donates.
            checkpoint.assign(learned, checkpoint.values(learned))
        total, count = 0.0, 0
        loss = self._loss(reduction=None)
        for x, truth in _prefetched(validation, 0):
            losses = loss(truth, model.predict_on_batch(x))
            total += float(np.sum(keras.ops.convert_to_numpy(losses), dtype=np.float64))
            count += len(truth)
        result = total / count
        if self.state["best"] is None or result < self.state["best"]["loss"]:
            self.state["best"] = {"loss": result, "epoch": self.state["epoch"]}
            self.best = checkpoint.values(self.model.weights)
        if raw is not None:
            checkpoint.assign(model.trainable_variables, raw)
        return result

    def _loss(self, **options: Any) -> FixationLoss:
        return FixationLoss(**{**self.preset.loss, **options})

    def _count(self, started: float) -> None:
        self.state["seconds"] += time.monotonic() - started

    def _save(self, optimizer: Any) -> None:
        groups = {"model": checkpoint.values(self.model.variables), "best": self.best}
        if optimizer is not None:
            groups["optimizer"] = checkpoint.values(optimizer.variables)
        checkpoint.save(self.folder / _CHECKPOINT, self.state, groups)
        self._clock = time.monotonic()

    # ------------------------------------------------------------------ the end

    def finish(self, about: dict[str, Any]) -> Path:
        """Write the history, and the model with its card."""
        if self.state["history"]:  # again: a kill may have come between checkpoint and history
            checkpoint.write(self.folder, self.state["history"])
        training = {
            "preset": self.state["preset"],
            "recipe": self.state["recipe"],
            "seed": self.state["seed"],
            "minutes": round(self.state["seconds"] / 60, 1),
            "backend": self.state["backend"],
            "versions": provenance.versions(),
            "history": self.state["history"],
            **about,
        }
        build = {**self.preset.build, "input_shape": [None, None, 3]}
        return save_model(
            self.model,
            self.folder / "model",
            build,
            side=self.preset.side,
            mirror=self.preset.mirror,
            training=training,
            card=checkpoint.card(self.model.name, self.preset.about, training),
        )


def _plain(value: Any) -> Any:
    """Tuples as lists: what JSON gives back."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _check_finite(loss: float, label: str) -> None:
    if not np.isfinite(loss):
        raise FixationModelError(
            f"Expected a finite loss in stage {label}.",
            f"Got {loss}.",
            "Train with a lower rate; the last checkpoint is intact.",
            _READ,
        )


def _freeze_normalisation(model: keras.Model) -> None:
    """Freeze the encoder's statistics: those of eight pictures are worth less than ImageNet's."""
    for layer in model.get_layer("encoder").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _optimizer(stage: Stage, steps: int) -> keras.optimizers.Optimizer:
    rise = min(stage.rise, steps * stage.epochs // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.rate * 0.1,
        max(1, steps * stage.epochs - rise),
        alpha=0.2,  # of the peak
        warmup_target=stage.rate,
        warmup_steps=rise,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=stage.weight_decay,
        clipnorm=1.0,
        use_ema=stage.ema is not None,
        ema_momentum=stage.ema or 0.99,
    )


def _prefetched(batches: Any, first: int) -> Iterator[Any]:
    """Yield batches in order, prepared ahead in two threads."""
    with ThreadPoolExecutor(2) as pool:
        numbers = iter(range(first, len(batches)))
        waiting = [pool.submit(batches.__getitem__, i) for i in _take(numbers, _AHEAD)]
        while waiting:
            yield waiting.pop(0).result()
            waiting.extend(pool.submit(batches.__getitem__, i) for i in _take(numbers, 1))


def _take(numbers: Iterator[int], count: int) -> list[int]:
    return [number for _, number in zip(range(count), numbers, strict=False)]
