"""Training: stages one after the other, a checkpoint that holds everything, the best model kept."""

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

from keras_saliency import progress, provenance
from keras_saliency.errors import FixationModelError, SaveError
from keras_saliency.fixation import checkpoint, history
from keras_saliency.fixation.features import CachedFeatures
from keras_saliency.fixation.losses import FixationLoss
from keras_saliency.fixation.model import FixationModel
from keras_saliency.fixation.presets import Preset, Stage, find
from keras_saliency.fixation.trained import save_model

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
    """Train a fixation model; run it again with the same arguments to go on after a kill.

    Everything is drawn from ``seed``, and the checkpoint holds weights, optimizer, random states,
    place in the epoch and history; so a training that was killed ends with the same weights as one
    that was not.

    Args:
        preset: A name of ``presets.PRESETS``, or a `Preset`.
        batches: What to learn from, such as ``data.FixationBatches(..., shuffle=True)``.
        validation: What to choose the best epoch by, without shuffling.
        folder: Where ``checkpoint.npz``, ``history.csv``, ``history.png`` and ``model`` go.
        seed: Of weights and dropout; the batches have their own.
        weights: The encoder's, as in `FixationModel`.
        every: Seconds between checkpoints within an epoch; there is one after each epoch anyway.
        tell: Called with a line about each epoch.
        about: What else the model's manifest shall say, such as data sets and command.

    Returns:
        The folder ``model``, for `load_model` and ``predict_fixations(model=...)``.

    Raises:
        FixationModelError: The loss is not finite, or the checkpoint is of another training.
        SaveError: The disk does not take a checkpoint; the one before is kept.

    Example:
        >>> from keras_saliency import data
        >>> recordings = data.read_table("fixations", split="train")  # doctest: +SKIP
        >>> batches = data.FixationBatches(recordings, [(288, 384)],
        ...                                augment=data.Augment(), shuffle=True)  # doctest: +SKIP
        >>> train("default", batches, validation, "run")  # doctest: +SKIP
    """
    name, preset = (preset, find(preset)) if isinstance(preset, str) else ("own", preset)
    data = [one.fingerprint() for one in (batches, validation)]
    run = _Run(name, preset, data, Path(folder), seed, weights, every, tell)
    for number, stage in enumerate(preset.stages):
        run.stage(number, stage, batches, validation)
    return run.finish(about or {})


class _Run:
    """A training under way: a model, and what the checkpoint says beside its weights."""

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
                f"A training was to be kept in {str(folder)!r}.",
                f"{error}.",
                "Name a folder that can be written.",
                _READ,
            ) from error
        keras.utils.set_random_seed(seed)
        self.told: dict[str, Any] = {
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
        found = checkpoint.load(folder / _CHECKPOINT)
        self._stored = None if found is None else found[1]
        if found is not None:
            self._check(found[0])
            self.told = found[0]
            tell(f"going on: {folder / _CHECKPOINT}")
        # What is in the checkpoint need not be read, downloaded or drawn.
        self.model = FixationModel(
            **preset.build, input_shape=(None, None, 3), weights=None if found else weights
        )
        self.best: list[np.ndarray] = []
        if self._stored is not None:
            checkpoint.assign(self.model.variables, self._stored["model"])
            self.best = self._stored.get("best", [])
        self._clock = time.monotonic()

    def _check(self, found: dict[str, Any]) -> None:
        for key in ("preset", "recipe", "seed", "dataset", "backend"):
            if found.get(key) != self.told[key]:
                raise FixationModelError(
                    f"A training was to go on in {str(self.folder)!r}.",
                    f"It was begun with another {key}.",
                    "Name another folder, or delete the checkpoint to start anew.",
                    _READ,
                )

    # ------------------------------------------------------------------ one stage

    def stage(self, number: int, stage: Stage, batches: Any, validation: Any) -> None:
        """Run a stage, or what is left of it."""
        if self.told["stage"] != number:
            return
        model = self.model if stage.encoder else self.model.get_layer("decoder")
        if not stage.encoder:
            place = self.folder / "features"
            batches, validation = (
                CachedFeatures(self.model, one.without_windows(), place / name, f"{name} features")
                for name, one in (("train", batches), ("validation", validation))
            )
        _freeze_normalisation(self.model)
        optimizer = _optimizer(stage, len(batches))
        model.compile(optimizer=optimizer, loss=self._loss())
        optimizer.build(model.trainable_variables)
        if self._stored is not None and "optimizer" in self._stored:
            checkpoint.assign(optimizer.variables, self._stored["optimizer"])
        self._stored = None
        while self.told["epoch"] < stage.epochs and not self._tired(stage):
            self._epoch(model, stage, batches, validation)
        if self.best:
            checkpoint.assign(self.model.weights, self.best)
        shutil.rmtree(self.folder / "features", ignore_errors=True)
        if self.told["best"] is not None:  # still the best: the next stage may be worse
            self.told["best"]["epoch"] = -1
        self.told.update(stage=number + 1, epoch=0, step=0, sum=0.0)
        self._save(None)

    def _tired(self, stage: Stage) -> bool:
        epoch = self.told["epoch"]
        return epoch > 0 and epoch - self.told["best"]["epoch"] > stage.patience

    def _epoch(self, model: Any, stage: Stage, batches: Any, validation: Any) -> None:
        epoch, started = self.told["epoch"], time.monotonic()
        batches.epoch = epoch
        label = f"{stage.name}, epoch {epoch + 1} of {stage.epochs}"
        steps = progress.track(
            _prefetched(batches, self.told["step"]), len(batches) - self.told["step"], label
        )
        for x, truth in steps:
            loss = float(np.asarray(model.train_on_batch(x, truth)))
            _check_finite(loss, label)
            self.told["step"] += 1
            self.told["sum"] += loss
            if time.monotonic() - self._clock > self.every:
                self._count(started)
                started = time.monotonic()
                self._save(model.optimizer)
        learned = self.told["sum"] / len(batches)
        found = self._validate(model, stage, validation)
        _check_finite(found, label)
        self._count(started)
        row = {
            "stage": stage.name,
            "epoch": epoch + 1,
            "loss": learned,
            "validation_loss": found,
            "seconds": round(self.told["seconds"], 1),
        }
        self.told["history"].append(row)
        self.told.update(epoch=epoch + 1, step=0, sum=0.0)
        self._tell(f"{label}: loss {learned:.4f}, validation {found:.4f}")
        self._save(model.optimizer)
        history.write(self.folder, self.told["history"])

    def _validate(self, model: Any, stage: Stage, validation: Any) -> float:
        """Return the validation loss; keep the weights where they are the best so far."""
        raw = None
        if stage.ema:
            learned = model.trainable_variables
            raw = checkpoint.values(learned)
            model.optimizer.finalize_variable_values(learned)
            # On JAX weights and averages are one buffer now, which predict_on_batch gives away.
            checkpoint.assign(learned, checkpoint.values(learned))
        total, count = 0.0, 0
        loss = self._loss(reduction=None)
        for x, truth in _prefetched(validation, 0):
            losses = loss(truth, model.predict_on_batch(x))
            total += float(np.sum(keras.ops.convert_to_numpy(losses), dtype=np.float64))
            count += len(truth)
        found = total / count
        if self.told["best"] is None or found < self.told["best"]["loss"]:
            self.told["best"] = {"loss": found, "epoch": self.told["epoch"]}
            self.best = checkpoint.values(self.model.weights)
        if raw is not None:
            checkpoint.assign(model.trainable_variables, raw)
        return found

    def _loss(self, **options: Any) -> FixationLoss:
        return FixationLoss(**{**self.preset.loss, **options})

    def _count(self, started: float) -> None:
        self.told["seconds"] += time.monotonic() - started

    def _save(self, optimizer: Any) -> None:
        groups = {"model": checkpoint.values(self.model.variables), "best": self.best}
        if optimizer is not None:
            groups["optimizer"] = checkpoint.values(optimizer.variables)
        checkpoint.save(self.folder / _CHECKPOINT, self.told, groups)
        self._clock = time.monotonic()

    # ------------------------------------------------------------------ the end

    def finish(self, about: dict[str, Any]) -> Path:
        """Write the history, and the model with its card."""
        if self.told["history"]:  # again: a kill may have come between checkpoint and history
            history.write(self.folder, self.told["history"])
        training = {
            "preset": self.told["preset"],
            "recipe": self.told["recipe"],
            "seed": self.told["seed"],
            "minutes": round(self.told["seconds"] / 60, 1),
            "backend": self.told["backend"],
            "versions": provenance.versions(),
            "history": self.told["history"],
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
            card=history.card(self.model.name, self.preset.about, training),
        )


def _plain(value: Any) -> Any:
    """Tuples as lists: what JSON gives back."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _check_finite(loss: float, label: str) -> None:
    if not np.isfinite(loss):
        raise FixationModelError(
            f"{label.capitalize()} was under way.",
            f"The loss became {loss}.",
            "Train with a lower rate; the last checkpoint is kept.",
            _READ,
        )


def _freeze_normalisation(model: keras.Model) -> None:
    """Keep the encoder's statistics: those of eight pictures are worth less than ImageNet's."""
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
