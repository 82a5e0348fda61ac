"""A fitted solver follows the exact solution in few steps, and is exact but for its last where data are normal."""

from __future__ import annotations

import pytest
import torch

from flowmint.diffusion.fitted import BLOCK, MEMORY, Affine, fit_solver, fitted_grid, points_to_follow
from flowmint.diffusion.noise import RectifiedFlow, VarianceExploding, VariancePreserving, even_grid
from flowmint.diffusion.sample import adams

SCHEDULES = [RectifiedFlow(), VarianceExploding(), VariancePreserving()]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def normal_denoiser(schedule, covariance):
    """The expected clean point where data are normal: x_t · alpha · C (alpha² · C + sigma²)⁻¹."""

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return x @ torch.linalg.solve(alpha**2 * covariance + sigma**2 * torch.eye(len(covariance)), alpha * covariance)

    return denoise


def mixed_denoiser(schedule, covariance):
    """The expected clean point of a mixture of two normals, around 1 and -1 in every dimension."""

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        noisy = alpha**2 * covariance + sigma**2 * torch.eye(len(covariance))
        far = [x - alpha * middle for middle in (1.0, -1.0)]
        shares = torch.stack([-(part * torch.linalg.solve(noisy, part.T).T).sum(dim=1) / 2 for part in far]).softmax(
            dim=0
        )
        ends = [
            m + part @ torch.linalg.solve(noisy, alpha * covariance) for m, part in zip((1.0, -1.0), far, strict=True)
        ]
        return shares[0][:, None] * ends[0] + shares[1][:, None] * ends[1]

    return denoise


def errors_of(schedule, denoise, dimensions, evaluations):
    """How far the fitted solver and `adams` end from the exact solution, as root mean squares."""
    grid, usual = fitted_grid(schedule, evaluations), even_grid(schedule, evaluations)
    scale = schedule.sigma(grid[0])
    x = random(500, dimensions, seed=1) * scale
    noise = random(points_to_follow(dimensions, evaluations), dimensions) * scale
    solver = fit_solver(denoise, noise, grid, schedule)
    exact = adams(denoise, x, schedule.grid(400), schedule)
    ends = solver(denoise, x, grid, schedule), adams(denoise, x, usual, schedule)
    return [float((end - exact).pow(2).mean().sqrt()) for end in ends]


@every_schedule
def test_it_ends_nearer_to_the_exact_solution_than_adams_with_as_many_evaluations(schedule):
    root = random(6, 6)
    for evaluations in (2, 3, 4):
        fitted, usual = errors_of(schedule, mixed_denoiser(schedule, root @ root.T / 24), 6, evaluations)
        assert fitted < 0.8 * usual


def test_steps_but_the_last_are_exact_where_data_are_normal():
    schedule = RectifiedFlow()
    root = random(5, 5)
    denoise = normal_denoiser(schedule, root @ root.T / 5)
    grid = fitted_grid(schedule, 2)
    solver = fit_solver(denoise, random(400, 5, seed=2), grid, schedule)
    x = random(300, 5, seed=3)
    seen, points = [x], x
    for t, move in zip(grid[1:], solver.maps, strict=False):
        points = move(seen)
        seen.append(denoise(points, t[None]))
    fine = torch.linspace(float(grid[0]), float(grid[-2]), 2001)
    assert torch.allclose(points, adams(denoise, x, fine, schedule), atol=0.03)


@pytest.mark.parametrize("evaluations", [1, 2, MEMORY + 2])
def test_the_denoiser_is_evaluated_as_often_as_is_told(evaluations):
    schedule, asked = RectifiedFlow(), []
    grid = fitted_grid(schedule, evaluations)

    def denoise(x, t):
        asked.append(float(t))
        return x / 2

    solver = fit_solver(denoise, random(256, 3), grid, schedule)
    asked.clear()
    solver(denoise, random(20, 3), grid, schedule)
    assert asked == pytest.approx(grid[1:-1].tolist())


@pytest.mark.parametrize("dimensions", [1, BLOCK, BLOCK + 1])
@pytest.mark.parametrize("evaluations", [1, 2, MEMORY + 2])
def test_any_number_of_dimensions_and_evaluations_is_solved(dimensions, evaluations):
    schedule = RectifiedFlow()
    denoise = normal_denoiser(schedule, 0.25 * torch.eye(dimensions))
    grid = fitted_grid(schedule, evaluations)
    noise = random(points_to_follow(dimensions, evaluations), dimensions)
    end = fit_solver(denoise, noise, grid, schedule)(denoise, random(400, dimensions, seed=1), grid, schedule)
    assert end.shape == (400, dimensions)
    assert torch.isfinite(end).all()
    if evaluations > 1:
        assert end.std().item() == pytest.approx(0.5, rel=0.2)


def test_with_one_evaluation_the_answer_to_the_first_step_is_the_end():
    schedule = RectifiedFlow()
    denoise, grid = mixed_denoiser(schedule, torch.eye(3)), fitted_grid(schedule, 1)
    x = random(20, 3)
    solver = fit_solver(denoise, random(256, 3), grid, schedule)
    assert torch.equal(solver(denoise, x, grid, schedule), denoise(solver.maps[0]([x]), grid[1:2]))


@every_schedule
def test_it_follows_a_sharpened_solution_with_evaluations_of_the_plain_denoiser_alone(schedule):
    root = random(6, 6)
    plain, grid = mixed_denoiser(schedule, root @ root.T / 24), fitted_grid(schedule, 2)

    def sharpened(x, t):  # away from what lies around 3
        clean, other = plain(x, t), normal_denoiser(schedule, torch.eye(6))(x - 3 * schedule.alpha(t), t) + 3
        return clean + 0.1 * (clean - other)

    scale = schedule.sigma(grid[0])
    noise, x = random(points_to_follow(6, 2), 6) * scale, random(500, 6, seed=1) * scale
    exact = adams(sharpened, x, schedule.grid(400), schedule)

    def error(end):
        return float((end - exact).pow(2).mean().sqrt())

    followed = error(fit_solver(plain, noise, grid, schedule, exact=sharpened)(plain, x, grid, schedule))
    assert followed < 0.8 * error(fit_solver(plain, noise, grid, schedule)(plain, x, grid, schedule))
    assert followed < 0.8 * error(adams(sharpened, x, even_grid(schedule, 2), schedule))


def test_a_map_finds_what_is_affine():
    features, weights = [random(300, 4, seed=n) + n for n in range(2)], [random(4, 4, seed=n) for n in (5, 6)]
    targets = features[0] @ weights[0] + features[1] @ weights[1] + 3
    assert torch.allclose(Affine.fit(features, targets)(features), targets, atol=0.01)


def test_features_that_say_the_same_do_no_harm():
    feature = random(300, 4)
    assert torch.allclose(
        Affine.fit([feature, feature, torch.ones(300, 4)], 2 * feature)([feature] * 2 + [torch.ones(300, 4)]),
        2 * feature,
        atol=0.01,
    )
