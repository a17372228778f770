"""Small models that take no pictures, and a file for each."""

import keras
import numpy as np
from PIL import Image
from scipy.io import wavfile

layers = keras.layers
RATE = 8000


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _model(inputs, x):
    return keras.Model(inputs, layers.Dense(2)(x))


def signal(length=32, channels=1):
    inputs = keras.Input((length, channels))
    return _model(inputs, layers.GlobalAveragePooling1D()(layers.Conv1D(3, 3)(inputs)))


def volume():
    inputs = keras.Input((6, 7, 8, 1))
    return _model(inputs, layers.GlobalAveragePooling3D()(layers.Conv3D(2, 3)(inputs)))


def video(rescales=True, frames=3):
    inputs = keras.Input((frames, 16, 12, 3))
    x = layers.Rescaling(1 / 255)(inputs) if rescales else inputs
    x = layers.TimeDistributed(layers.Conv2D(2, 3))(x)
    return _model(inputs, layers.GlobalAveragePooling3D()(x))


def tokens(length=5):
    inputs = keras.Input((length,))
    return _model(inputs, layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(inputs)))


def table():
    inputs = keras.Input((3,))
    return _model(inputs, layers.Dense(4, activation="softplus")(inputs))


def frames(count=3, size=(20, 24)):
    pixels = np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)
    # Of few colours, so that a GIF's palette holds each of them.
    return pixels // 128 * 255


def save_gif(path, pixels):
    images = [Image.fromarray(one) for one in pixels]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, loop=0)
    return path


def save_nifti(path, values):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def save_wav(path, values, rate=RATE):
    wavfile.write(path, rate, values)
    return path


def save_array(path, values):
    np.save(path, values) if path.suffix == ".npy" else np.savez_compressed(path, values)
    return path


def save_csv(path, values, header=""):
    np.savetxt(path, values, delimiter=",", header=header, comments="", fmt="%.9g")
    return path
