"""A step, repeated any number of times in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from vibayes import interrupts
from vibayes.backend.jax.ahead import DrawsAhead, take_draws_out
from vibayes.backend.jax.convert import function_of, rewritten_for_jax
from vibayes.backend.jax.devices import JaxDevices, double_precision
from vibayes.backend.jax.keys import as_key
from vibayes.backend.jax.placed import PlacedData
from vibayes.backend.jax.processes import while_all_are_there

__all__ = ["RepeatedStep"]

MOST_STEPS = 4096  # of one call, whose losses have memory of this length whatever their number


class RepeatedStep:
    """A graph of one step as a compiled function of n steps.

    The number of steps is an input: one compilation serves all. Data stay on the devices as long
    as their shared variables hold the same arrays; data of other shapes are compiled for anew.

    Parameters
    ----------
    numbers
        Tensors that a step changes.
    generators
        Random generators that it advances.
    windows
        Tensors that it reads, other ones at each call.
    targets
        The values of ``numbers`` and ``generators`` after a step, and the loss if there is one.
    parts : dict
        For each of ``numbers`` an object whose method ``of`` takes it from the vectors of a state.
    dtypes
        Dtypes of these vectors.
    devices : JaxDevices
        Where it runs.
    rows : collection of int
        Lengths of the arrays whose rows several devices share.
    blocks : dict
        For data of which each device has a block, the variables that stand for these, and for the
        number of rows.

    Attributes
    ----------
    data : list of SharedVariable
        What a step reads beside.
    compiled : dict
        For the shapes of windows and data the function that JAX has compiled.
    """

    def __init__(
        self,
        numbers: Sequence[SharedVariable],
        generators: Sequence[SharedVariable],
        windows: Sequence[SharedVariable],
        targets: Sequence[Variable],
        parts: Mapping[SharedVariable, Any],
        dtypes: Sequence[str],
        devices: JaxDevices,
        rows: Collection[int] = (),
        blocks: Mapping[SharedVariable, tuple[Variable, Variable]] | None = None,
    ) -> None:
        self.numbers = list(numbers)
        self.generators = list(generators)
        self.windows = list(windows)
        self.targets = list(targets)
        self.parts = parts
        self.dtypes = list(dtypes)
        self.devices = devices
        self.placed = PlacedData(devices, rows)
        known = {*numbers, *generators, *windows}
        self.data = [
            v for v in ancestors(self.targets) if isinstance(v, SharedVariable) and v not in known
        ]
        self.compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        self.blocks = dict(blocks or {})
        self._used: set[Any] = set()  # those that are compiled indeed, which no signal may end

    @property
    def has_loss(self) -> bool:
        """Whether a step has a loss."""
        return len(self.targets) > len(self.numbers) + len(self.generators)

    def __call__(
        self,
        n: int,
        vectors: Sequence[np.ndarray],
        keys: Sequence[np.ndarray],
        windows: Sequence[np.ndarray],
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray | None]:
        """Return the state after n steps, the keys, and the loss of each step if there is one."""
        with double_precision():
            data = [self.placed(v) for v in self.data]
            shapes = [*(w.shape for w in windows), *map(self.placed.shape, self.data)]
            for block, rows in map(self.placed.blocks, self.blocks):
                data += [block, self.devices.place(np.asarray(rows, dtype="int64"))]
                shapes += [block.shape, ()]
            shown = [self.devices.place(window) for window in windows]
            run = self._run_for(tuple(shapes))
            state = [[self.devices.place(v) for v in part] for part in (vectors, keys)]
            uncut = interrupts.shut() if run in self._used else nullcontext()
            with uncut, while_all_are_there():
                after, losses = in_parts(run, n, state, shown, data)
            self._used.add(run)
        return after[0], after[1], losses if self.has_loss else None

    def _run_for(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        """Return the compiled function for windows and data of some shapes."""
        if shapes not in self.compiled:
            own = [self.parts[key].shape for key in self.numbers]
            in_blocks = [v for pair in self.blocks.values() for v in pair]
            with interrupts.interruptible():
                graph = rewritten_for_jax(
                    [*self.numbers, *self.generators, *self.windows, *self.data, *in_blocks],
                    self.targets,
                    [*own, *[None] * len(self.generators), *shapes],
                )
                count = len(self.numbers)
                ahead = take_draws_out(graph, range(count, count + len(self.generators)))
                step = function_of(graph)
            self.compiled[shapes] = self.devices.compiled(self._repeated(step, ahead, shapes))
        return self.compiled[shapes]

    def _repeated(
        self,
        step: Callable[..., list[Any]],
        ahead: DrawsAhead,
        shapes: Sequence[tuple[int, ...]],
    ) -> Callable[..., Any]:
        """Return a function of n and the state that takes n steps, for JAX to compile."""
        import jax
        import jax.numpy as jnp

        count = len(self.numbers)
        types = [key.type.dtype for key in self.numbers]
        n_windows = len(self.windows)

        def repeated(n: Any, vectors: Any, keys: Any, windows: Any, data: Any) -> Any:
            whole = list(map(self.placed.whole, self.data, data, shapes[n_windows:]))
            whole += data[len(self.data) :]

            def block(carry: Any) -> Any:
                done, numbers, keys, losses = carry
                drawn = ahead(keys)
                steps = jnp.minimum(n - done, ahead.steps)

                def body(carry: Any) -> Any:
                    i, numbers, keys, losses = carry
                    own = [values[i] for values in drawn]
                    results = step(*numbers, *ahead.moved(keys, i), *windows, *whole, *own)
                    after = [
                        jnp.asarray(value, dtype=dtype)
                        for value, dtype in zip(results[:count], types, strict=True)
                    ]
                    keys = ahead.stepped(keys, results[count : count + len(keys)])
                    if self.has_loss:
                        losses = losses.at[done + i].set(results[-1].astype(losses.dtype))
                    return i + 1, after, keys, losses

                begin = jnp.int64(0), numbers, keys, losses
                _, *after, losses = jax.lax.while_loop(lambda carry: carry[0] < steps, body, begin)
                numbers, keys = after
                return done + steps, numbers, ahead.moved(keys, steps), losses

            kind = self.targets[-1].type.dtype if self.has_loss else "float64"
            losses = jnp.zeros(MOST_STEPS if self.has_loss else 0, dtype=kind)
            first = [self.parts[key].of(vectors) for key in self.numbers]
            begin = jnp.int64(0), first, [as_key(key) for key in keys], losses
            _, last, keys, losses = jax.lax.while_loop(lambda carry: carry[0] < n, block, begin)
            after = [
                jnp.concatenate([v.ravel() for v, t in zip(last, types, strict=True) if t == d])
                for d in self.dtypes
            ]
            return after, [jax.random.key_data(key) for key in keys], losses

        return repeated


def in_parts(
    run: Callable[..., Any], n: int, state: Any, windows: Any, data: Any
) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Return the state after n steps, and their losses, by calls of a compiled function."""
    losses, done = [], 0
    while True:
        count = min(n - done, MOST_STEPS)
        *state, some = run(np.int64(count), *state, windows, data)
        losses.append(np.asarray(some)[:count])
        done += count
        if done == n:
            # arrays of their own: those of JAX may lie in memory that it uses again
            return [[np.array(v) for v in part] for part in state], np.concatenate(losses)
