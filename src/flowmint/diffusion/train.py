"""The one training loop, and how a network is built and initialised from a seed.

AdamW with a one-cycle learning rate (Smith & Topin 2018), gradients clipped, and an exponential
moving average of the weights, which is what remains in the module afterwards.

A training that is interrupted can go on: after any step, weights, averages, AdamW's averages of the gradient and the
source of the losses' randomness are all there is to know, and a `Keep` is offered copies of them. What is derived from
the number of steps, such as the learning rate, is not kept. A training may end early, see `flowmint.diffusion.knee`.

Where there are several workers (see `flowmint.diffusion.workers`), each calls this loop on the same module; each draws
its own batches, and all end with the same weights.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flowmint.diffusion import workers
from flowmint.diffusion.adamw import AdamW, Pace, one_cycle
from flowmint.diffusion.capture import checked
from flowmint.diffusion.knee import Knee

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flowmint.progress import Stage

Module = TypeVar("Module", bound=nn.Module)

State = dict[str, Tensor]
"""What a training is after a step, by name."""


PARTS = ("weights", "averages", "means", "squares")
"""What a training keeps of each weight: itself, its average, and AdamW's averages of its gradient and its square."""


@dataclass(frozen=True)
class Training:
    """How long and how fast to train.

    Attributes:
        steps: Number of optimiser steps.
        learning_rate: Highest learning rate of the cycle.
        weight_decay: AdamW's decoupled weight decay.
        average: Decay of the moving average of the weights, 0 for none.
        momentum: Decay of AdamW's average gradient; None lets it fall and rise from 0.95 to 0.85 and
            back while the learning rate rises and falls.
        memory: Decay of AdamW's average squared gradient.
        mixed: Whether losses are computed in bfloat16 where that is precise enough (autocast); weights, averages and
            optimiser stay float32.
        captured: Whether a batch's gradient is computed by a CUDA graph.
        tolerance: Training winds down where a twentieth of the steps lowers the loss by no more than this share, see
            `flowmint.diffusion.knee`; 0 takes all steps.
    """

    steps: int
    learning_rate: float
    weight_decay: float = 1e-3
    average: float = 0.995
    momentum: float | None = None
    memory: float = 0.99
    mixed: bool = False
    captured: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True)
class Opponent:
    """What trains against a module, in the same loop: a critic against its generator.

    Attributes:
        module: The opponent; ends with its last weights, in evaluation mode.
        loss: Draws a batch and returns the opponent's mean loss.
        turns: How many steps it takes before each step of the module.
        learning_rate: Highest learning rate of its cycle.
    """

    module: nn.Module
    loss: Callable[[], Tensor]
    turns: int
    learning_rate: float


class Keep(Protocol):
    """Keeps what a training was after some step, so that it goes on from there when it was interrupted."""

    def recall(self, like: Mapping[str, Tensor], *, steps: int) -> tuple[int, Mapping[str, Tensor]] | None:
        """Give what was kept last.

        Args:
            like: Tensors of the names, shapes and types that a state of this training has.
            steps: How many steps the training takes.

        Returns:
            After how many steps it was, from 1 to ``steps``, and the state; None to begin.
        """

    def offer(self, step: int, copy: Callable[[], State]) -> None:
        """Hear that ``step`` steps are done; ``copy`` gives the state, which further steps leave alone."""


def train(
    module: nn.Module,
    loss: Callable[[], Tensor],
    *,
    training: Training,
    stage: Stage,
    opponent: Opponent | None = None,
    generator: torch.Generator | None = None,
    keep: Keep | None = None,
) -> None:
    """Train a module in place.

    Args:
        module: What to train; ends with the averaged weights, in evaluation mode.
        loss: Draws a batch and returns its mean loss; all its randomness comes from generators
            that the caller seeded.
        training: Length and speed.
        stage: Told after each step.
        opponent: What trains in turn with the module, with the module's settings but for its own
            learning rate and without an average.
        generator: What the losses draw from, if they draw.
        keep: Offered the state after each step; what it recalls is where training begins.
    """
    learner, rival = Learner(module, loss, training), None
    if opponent is not None:
        turns = replace(
            training,
            steps=training.steps * opponent.turns,
            learning_rate=opponent.learning_rate,
            average=0.0,
        )
        rival = Learner(opponent.module, opponent.loss, turns)
    players = _Players(learner, rival, generator)
    seed = 0 if generator is None else generator.initial_seed()
    done = players.go_on(keep)
    stage.advance(done)
    if training.captured and generator is not None and done < training.steps:
        learner.gradient = checked(learner.gradient, learner.weights, generator)
    step = done
    while step < learner.last():
        step += 1
        if generator is not None:
            workers.reseed(generator, seed=seed, step=step)
        if opponent is not None and rival is not None:
            for _ in range(opponent.turns):
                rival.step()
        learner.step()
        if keep is not None:
            keep.offer(step, players.copy)
        stage.advance(1)
    if step < training.steps:
        stage.advance(training.steps - step)
    learner.end()
    if rival is not None:
        rival.end()


class Learner:
    """A module with its optimiser, the cycle of its learning rate and the average of its weights.

    Args:
        module: What to train, in place.
        loss: Draws a batch and returns its mean loss.
        training: Length and speed.
    """

    def __init__(self, module: nn.Module, loss: Callable[[], Tensor], training: Training) -> None:
        self.loss, self.gradient = loss, self.draw_gradient
        self.module, self.training, self.index = module.train(), training, 0
        self.averaged = deepcopy(module)
        self.weights: list[Tensor] = list(module.parameters())
        self.averages: list[Tensor] = list(self.averaged.parameters())
        self.optimiser = AdamW(self.weights, weight_decay=training.weight_decay, memory=training.memory)
        self.knee = Knee(training.steps, training.tolerance, self.weights[0].device) if training.tolerance else None
        self.pace = self._pace(0)

    def draw_gradient(self) -> None:
        """Draw a batch and leave the gradient of its mean loss in the weights."""
        for weight in self.weights:
            weight.grad = None
        # weights are cast anew each time: a graph that is replayed must not use those of another step
        with torch.autocast(
            self.weights[0].device.type, torch.bfloat16, enabled=self.training.mixed, cache_enabled=False
        ):
            loss = self.loss()
        torch.autograd.backward(loss, inputs=self.weights)
        if self.knee is not None:
            self.knee.hear(self.index + 1, loss)

    def step(self) -> None:
        """Follow the gradient of one batch's mean loss, or of all workers' batches."""
        training = self.training
        self.gradient()
        workers.average(weight.grad for weight in self.weights if weight.grad is not None)
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step(self.pace)
        self.index += 1
        self._turn()
        decay = min(training.average, self.index / (9 + self.index)) if training.average else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.weights, 1 - decay)

    def last(self) -> int:
        """Tell the last step, as far as is known."""
        return self.training.steps if self.knee is None else self.knee.end()

    def _turn(self) -> None:
        """Let the learning rate follow the number of steps."""
        place = self.index if self.knee is None else self.knee.place(self.index)
        if 0 < place < self.training.steps:
            self.pace = self._pace(place)

    def _pace(self, place: int) -> Pace:
        """Tell how fast the step at a place of the cycle goes."""
        training = self.training
        pace = one_cycle(place, steps=training.steps, highest=training.learning_rate)
        return pace if training.momentum is None else replace(pace, momentum=training.momentum)

    def end(self) -> None:
        """Leave the averaged weights in the module, in evaluation mode."""
        self.module.load_state_dict(self.averaged.state_dict())
        self.module.eval()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Give the names and tensors of all that a step changes and that does not follow from their number."""
        for name, *tensors in self._named():
            for part, tensor in zip(PARTS, tensors, strict=True):
                yield f"{part}/{name}", tensor
        if self.knee is not None:
            yield "knee", self.knee.state

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor], *, index: int) -> None:
        """Be what `state` gave after ``index`` steps."""
        for name, *tensors in self._named():
            for part, tensor in zip(PARTS, tensors, strict=True):
                tensor.copy_(state[f"{part}/{name}"])
        self.optimiser.restore(index)
        if self.knee is not None:
            self.knee.restore(state["knee"])
        self.index = index
        self._turn()

    def _named(self) -> Iterator[tuple[Any, ...]]:
        """Give each weight's name, and the weight and what goes with it, as `PARTS` names them."""
        names = (name for name, _ in self.module.named_parameters())
        return zip(names, self.weights, self.averages, self.optimiser.means, self.optimiser.squares, strict=True)


@dataclass(frozen=True)
class _Players:
    """The modules of one training, and what their losses draw from."""

    learner: Learner
    rival: Learner | None
    generator: torch.Generator | None

    def state(self) -> State:
        """Give the present state; further steps change its tensors."""
        state = {f"learner/{name}": tensor for name, tensor in self.learner.state()}
        if self.rival is not None:
            state |= {f"opponent/{name}": tensor for name, tensor in self.rival.state()}
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        return state

    def copy(self) -> State:
        """Give a copy of the present state."""
        return {name: tensor.detach().clone() for name, tensor in self.state().items()}

    def go_on(self, keep: Keep | None) -> int:
        """Take up what was kept last, by the first worker; tell after how many steps it was."""
        training = self.learner.training
        kept = None if keep is None else keep.recall(self.state(), steps=training.steps)
        step = workers.from_first(0 if kept is None else kept[0], self.learner.weights[0].device)
        if step == 0:
            return 0
        state = self.copy() if kept is None else kept[1]
        for name, player in (("learner", self.learner), ("opponent", self.rival)):
            if player is not None:
                own = {key.removeprefix(f"{name}/"): tensor for key, tensor in state.items() if key.startswith(name)}
                player.restore(own, index=step * player.training.steps // training.steps)
        workers.spread(tensor for name, tensor in self.state().items() if name != "generator")
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        return step


class _Skip(TorchFunctionMode):
    """Calls none of the functions that set weights: on no device they would load half of torch's compiler."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Call what torch is about to call, or not."""
        return None if getattr(func, "__module__", "") == "torch.nn.init" else func(*args, **(kwargs or {}))


@contextmanager
def without_weights() -> Iterator[None]:
    """Make modules whose weights have shapes and no memory, for weights that are set or loaded afterwards."""
    with torch.device("meta"), _Skip():
        yield


def build(factory: Callable[[], Module], *, seed: int, device: torch.device) -> Module:
    """Build a module whose weights depend on the seed alone; the global generator is not touched.

    Args:
        factory: Makes the module.
        seed: Seed of the initial weights.
        device: Where the weights shall lie.

    Returns:
        The module: linear layers uniform in ±1/√inputs, embeddings standard normal times 0.5.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("cpu"), _Skip():
        module = factory()
    for part in module.modules():
        _initialise(part, generator)
    return module.to(device)


@torch.no_grad()
def _initialise(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, nn.Linear):
        bound = 1 / math.sqrt(part.in_features)
        part.weight.uniform_(-bound, bound, generator=generator)
        part.bias.uniform_(-bound, bound, generator=generator)
    elif isinstance(part, nn.Embedding | nn.EmbeddingBag):
        part.weight.normal_(0, 0.5, generator=generator)
    elif isinstance(part, nn.LayerNorm) and part.elementwise_affine:
        part.weight.fill_(1)
        part.bias.zero_()


@dataclass(frozen=True)
class WeightedRows:
    """Draws row numbers in proportion to weights.

    Attributes:
        cumulative: Rising sums of the weights [rows].
        generator: Source of randomness.
    """

    cumulative: Tensor
    generator: torch.Generator

    def draw(self, count: int) -> Tensor:
        """Draw ``count`` row numbers with replacement, int64 [count]."""
        points = torch.rand(count, generator=self.generator, device=self.cumulative.device, dtype=torch.float64)
        rows = torch.searchsorted(self.cumulative, points * self.cumulative[-1], right=True)
        return rows.clamp(max=len(self.cumulative) - 1)


@dataclass(frozen=True)
class ClassRows:
    """Draws a class in proportion to its weight, then rows of that class alike (training by sampling, Xu et al. 2019).

    Attributes:
        cumulative: Rising sums of the classes' weights [classes].
        order: Row numbers, class by class [rows].
        counts: Rows of each class [classes].
        generator: Source of randomness.
    """

    cumulative: Tensor
    order: Tensor
    counts: Tensor
    generator: torch.Generator

    @classmethod
    def of(
        cls, labels: Tensor, *, classes: int, power: float, generator: torch.Generator, true: Tensor | None = None
    ) -> ClassRows:
        """Weigh a class of n rows n^power.

        Args:
            labels: Class of each row, int64 [rows].
            classes: Number of classes; each has a row.
            power: 1 leaves classes as frequent as they are, 0 makes all equally frequent.
            generator: Source of randomness, on the device of the labels.
            true: n of each class [classes], where the rows stand for more; as many as there are if absent.

        Returns:
            What to draw from.
        """
        counts = torch.bincount(labels, minlength=classes)
        weights = (counts if true is None else true).double().pow(power)
        return cls(weights.cumsum(0), labels.argsort(stable=True), counts, generator)

    def draw_classes(self, count: int) -> Tensor:
        """Draw ``count`` classes, int64 [count]."""
        return WeightedRows(self.cumulative, self.generator).draw(count)

    def draw_rows(self, labels: Tensor) -> Tensor:
        """Draw a row of each given class: row numbers, int64 [n], for classes [n]."""
        share = torch.rand(len(labels), generator=self.generator, device=labels.device, dtype=torch.float64)
        inside = (share * self.counts[labels]).long().clamp(max=self.counts[labels] - 1)
        return self.order[self.counts.cumsum(0)[labels] - self.counts[labels] + inside]
