"""A batch's gradient as one CUDA graph: a small network would spend its time launching small kernels.

What is captured is the draw of a batch, the forward and the backward pass; the optimiser stays outside, since its rates
change with each step. A graph that does not give the gradient that it should is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

WARM_UP = 3
"""Passes before capturing, in which libraries choose their kernels and caches are filled."""

TOLERANCE = 1e-2
"""How far a captured gradient may be from the plain one, as a share of its length: kernels may be others."""


def capture(gradient: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
    """Capture a pass as a CUDA graph.

    Args:
        gradient: Draws a batch from ``generator`` and leaves its gradient in the weights.
        generator: The only source of randomness.

    Returns:
        What replays the pass with new draws.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            gradient()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        gradient()
    replay: Callable[[], None] = graph.replay
    return replay


def checked(
    gradient: Callable[[], None],
    weights: Sequence[Tensor],
    generator: torch.Generator,
    *,
    capturing: Callable[[Callable[[], None], torch.Generator], Callable[[], None]] = capture,
) -> Callable[[], None]:
    """Capture a pass and make sure that it gives the plain pass's gradient from the same draws.

    Args:
        gradient: Draws a batch and leaves its gradient in the weights.
        weights: The weights.
        generator: The only source of randomness; ends as it was.
        capturing: How to capture.

    Returns:
        The captured pass; the plain one where capturing fails or gives something else.
    """
    start = generator.get_state()
    try:
        gradient()
        plain = [_gradient(weight).clone() for weight in weights]
        generator.set_state(start)
        captured = capturing(gradient, generator)
        generator.set_state(start)
        captured()
        same = all(_near(_gradient(weight), own) for weight, own in zip(weights, plain, strict=True))
    except RuntimeError:  # an operation that cannot be captured
        same, captured = False, gradient
    generator.set_state(start)
    return captured if same else gradient


def _gradient(weight: Tensor) -> Tensor:
    if weight.grad is None:
        message = "a weight has no gradient"
        raise RuntimeError(message)
    return weight.grad


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).norm() <= TOLERANCE * expected.norm() + 1e-6)
