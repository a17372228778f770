"""A small vision transformer of Keras layers: patch 16, 192 wide, 6 blocks of 3 heads."""

from __future__ import annotations

from typing import Any

PATCH, WIDTH, DEPTH, HEADS, CLASSES = 16, 192, 6, 3, 1000


def vit(side: int, activation: str | None) -> Any:
    """Return the network for pictures (B, side, side, 3), its weights as Keras draws them."""
    from keras import Input, Model, layers, ops

    class Tokens(layers.Layer):
        """Prepends a learned token to the others and adds position embeddings."""

        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
            self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="places")

        def call(self, tokens: Any) -> Any:
            first = ops.broadcast_to(self.token, (ops.shape(tokens)[0], 1, tokens.shape[-1]))
            return ops.concatenate([first, tokens], axis=1) + self.places

    inputs = Input((side, side, 3))
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(inputs)
    x = Tokens(name="tokens")(layers.Reshape((-1, WIDTH))(x))
    for _ in range(DEPTH):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    return Model(inputs, layers.Dense(CLASSES, activation=activation, name="head")(x), name="vit")
