"""The engine of methods: scores, gradients and activations, in micro-batches, compiled once."""
