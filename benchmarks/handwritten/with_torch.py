"""By hand in PyTorch: eager, frozen weights, autograd.grad; on CPUs torch.compile is slower."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.handwritten import Programs, split


def programs(model: Any, layer: str | None) -> Programs:
    """Return the programs of a model."""
    front, tail = split(model, layer)
    model.requires_grad_(False)
    device = next(model.parameters()).device

    def tensor(value: Any) -> Any:
        return torch.as_tensor(value, device=device)

    def run(part: Any, x: Any) -> Any:
        found = part(x, training=False)
        return found[0] if isinstance(found, list) else found

    def chosen(part: Any, x: Any, classes: Any) -> Any:
        return run(part, x).gather(1, tensor(classes).long()[:, None])[:, 0]

    def slope(part: Any, x: Any, classes: Any) -> Any:
        x = x.detach().requires_grad_()
        (found,) = torch.autograd.grad(chosen(part, x, classes).sum(), x)
        return found

    def scores(x: Any, classes: Any) -> Any:
        with torch.inference_mode():
            return chosen(model, tensor(x), classes)

    def grad_cam(x: Any, classes: Any) -> Any:
        with torch.no_grad():
            maps = run(front, tensor(x))
        weights = slope(tail, maps, classes).mean((1, 2))
        return torch.einsum("bhwk,bk->bhw", maps, weights).relu()

    def path(x: Any, classes: Any, rows: Any, steps: Any, shares: Any) -> Any:
        rows, steps, shares = map(tensor, (rows, steps, shares))
        found = slope(model, steps[:, None, None, None] * x[rows], classes)
        return torch.zeros_like(x).index_add_(0, rows, shares[:, None, None, None] * found)

    def noisy(x: Any, classes: Any, rows: Any, noise: float, seed: int) -> Any:
        rows, generator = tensor(rows), torch.Generator(device).manual_seed(seed)
        near = x[rows]
        near += noise * torch.randn(near.shape, generator=generator, device=device)
        return torch.zeros_like(x).index_add_(0, rows, slope(model, near, classes))

    def numpy(found: Any) -> Any:
        return found.cpu().numpy()

    return Programs(
        gradient=lambda x, classes: numpy(slope(model, tensor(x), classes)),
        scores=lambda x, classes: numpy(scores(x, classes)),
        grad_cam=lambda x, classes: numpy(grad_cam(x, classes)),
        path=path,
        noisy=noisy,
        to_device=tensor,
        to_numpy=numpy,
    )
