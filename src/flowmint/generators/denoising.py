"""What latent and data-space diffusion share: training a denoiser on points, drawing points of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from flowmint.diffusion.backbone import Backbone
from flowmint.diffusion.denoise import Denoiser
from flowmint.diffusion.noise import RectifiedFlow, Schedule, VarianceExploding
from flowmint.diffusion.sample import SOLVERS
from flowmint.diffusion.train import Training, WeightedRows, build, train
from flowmint.errors import ModelError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowmint.progress import Progress, Stage

SCHEDULES: dict[str, Schedule] = {
    "rectified_flow": RectifiedFlow(),
    "variance_exploding": VarianceExploding(),
}
"""The noise schedules by the names that settings use."""

CHUNK = 8192
"""Rows that are sampled together."""


@dataclass(frozen=True)
class DenoiserShape:
    """What must be known to build a denoiser.

    Attributes:
        dimensions: Dimensions of a point.
        classes: Number of classes.
        width: Units of the residual stream.
        blocks: Number of residual blocks.
        schedule: Name of the noise schedule.
    """

    dimensions: int
    classes: int
    width: int
    blocks: int
    schedule: str

    def make(self) -> Denoiser:
        """Make the denoiser, its weights not yet set."""
        network = Backbone(dimensions=self.dimensions, classes=self.classes, width=self.width, blocks=self.blocks)
        return Denoiser(network, SCHEDULES[self.schedule])


def class_weights(codes: npt.NDArray[np.int64], power: float) -> npt.NDArray[np.float64]:
    """Weigh rows so that a class of n rows weighs n^power in all.

    Args:
        codes: Class of each row [rows].
        power: 1 leaves classes as frequent as they are, 0 makes all equally frequent.

    Returns:
        Weights [rows] with mean 1.
    """
    counts = np.bincount(codes)
    weights = np.power(counts[codes].astype(np.float64), power - 1.0)
    scaled: npt.NDArray[np.float64] = weights / weights.mean()
    return scaled


def fit_denoiser(
    points: Tensor,
    codes: Tensor,
    weights: Tensor,
    *,
    shape: DenoiserShape,
    training: Training,
    bandwidth: float,
    seed: int,
    stage: Stage,
) -> Denoiser:
    """Train a denoiser on points of about unit variance.

    Args:
        points: Points [n, dimensions].
        codes: Their classes, int64 [n].
        weights: How often to draw each [n].
        shape: Size of the network.
        training: Length and speed.
        bandwidth: Standard deviation of the noise added to points before they count as clean; what is
            learnt is a kernel estimate of the points' density.
        seed: Seed of the weights, batches and noise.
        stage: Told after each step.

    Returns:
        The trained denoiser.
    """
    device = points.device
    denoiser = build(shape.make, seed=seed, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    batches = WeightedRows(weights.double().cumsum(0), generator)

    def loss() -> Tensor:
        rows = batches.draw(training.batch_rows)
        kernel = torch.randn((len(rows), points.shape[1]), generator=generator, device=device)
        return denoiser.loss(points[rows] + bandwidth * kernel, codes[rows], generator)

    train(denoiser, loss, training=training, stage=stage)
    return denoiser


@torch.no_grad()
def draw_points(
    denoiser: Denoiser,
    rows: int,
    *,
    code: int,
    dimensions: int,
    solver: str,
    evaluations: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw points of one class.

    Args:
        denoiser: A trained denoiser.
        rows: How many.
        code: Number of the class.
        dimensions: Dimensions of a point.
        solver: Name of the solver.
        evaluations: How often the network is evaluated.
        generator: Source of the noise, on the denoiser's device.

    Returns:
        Points [rows, dimensions].
    """
    device = generator.device
    steps = (evaluations + 1) // 2 if solver == "heun" else evaluations
    grid = denoiser.schedule.grid(steps).to(device)
    noise = torch.randn((rows, dimensions), generator=generator, device=device)
    label = torch.tensor([code], device=device)
    x = noise * denoiser.schedule.sigma(grid[0])
    return SOLVERS[solver](lambda point, t: denoiser(point, t, label), x, grid, denoiser.schedule)


def module_arrays(module: nn.Module, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Give a module's weights as arrays by name."""
    return {f"{prefix}/{name}": weight.cpu().numpy() for name, weight in module.state_dict().items()}


def restore_module(
    module: nn.Module, arrays: Mapping[str, npt.NDArray[Any]], prefix: str, device: torch.device
) -> None:
    """Fill a module that lies on the meta device with saved weights.

    Args:
        module: The module, on the meta device.
        arrays: Weights by name.
        prefix: What their names begin with.
        device: Where the weights shall lie.

    Raises:
        ModelError: A weight is missing, of another shape or type, or not finite.
    """
    weights = {
        name: restore_array(arrays, f"{prefix}/{name}", tuple(expected.shape)).to(device)
        for name, expected in module.state_dict().items()
    }
    module.load_state_dict(weights, assign=True)
    module.eval()


def restore_array(arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]) -> Tensor:
    """Give one saved array as a tensor.

    Args:
        arrays: Arrays by name.
        name: Its name.
        shape: Its shape.

    Returns:
        float32 [shape].

    Raises:
        ModelError: It is missing, of another shape or type, or not finite.
    """
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype != np.float32:
        found = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
        message = f"{name} is {found} where float32 {list(shape)} is needed"
        raise ModelError(message)
    if not np.isfinite(array).all():
        message = f"{name} holds NaN or infinite numbers"
        raise ModelError(message)
    return torch.from_numpy(array.copy())


def find_device(name: str) -> torch.device:
    """Turn a device's name into a device that exists.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU if there is one.

    Returns:
        The device.

    Raises:
        SettingError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        message = f"device is {name!r}; allowed: 'cpu', 'cuda', 'auto'"
        raise SettingError(message) from error
    if device.type not in {"cpu", "cuda"} or (device.type == "cuda" and not torch.cuda.is_available()):
        message = f"device {name!r} is not available here; use 'cpu' or 'auto'"
        raise SettingError(message)
    return device


def spawn_seeds(seed: int, count: int) -> list[int]:
    """Derive independent seeds from one."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(count)]


def chunks(rows: int, progress: Progress) -> Any:  # noqa: ANN401
    """Yield the sizes of the chunks that make up ``rows`` rows and report each when it is done."""
    with progress.stage("sampling", total=rows, unit="rows") as stage:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            yield size
            stage.advance(size)
