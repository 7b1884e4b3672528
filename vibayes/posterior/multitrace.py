"""Draws in the form that PyMC and PyMC3 return with ``return_inferencedata=False``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vibayes.arguments import check_arguments, check_whole, shown

if TYPE_CHECKING:
    import xarray

__all__ = ["MultiTrace"]


class MultiTrace:
    """Draws of a posterior: arrays by variable name, and points by number.

    ``trace["mu"]`` and ``trace.mu`` are the draws of all chains, one after the other;
    ``trace[0]`` is a point, a dict of the values of one draw of the last chain; ``trace[100:]`` has
    the draws from the hundredth on. Wherever draws of a posterior are taken, these can be given.

    Parameters
    ----------
    posterior
        The draws, with the dims ``chain`` and ``draw``.

    Attributes
    ----------
    posterior : xarray.Dataset
        The draws.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", shape=3)
    ...     trace = vb.MeanField().sample(100, return_inferencedata=False)
    >>> len(trace), trace["mu"].shape, trace[0]["mu"].shape
    (100, (100, 3), (3,))
    """

    def __init__(self, posterior: xarray.Dataset) -> None:
        self.posterior = posterior.transpose("chain", "draw", ...)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups: there is that of the posterior alone."""
        return ("posterior",)

    @property
    def varnames(self) -> list[str]:
        """Names of the variables."""
        return [str(name) for name in self.posterior.data_vars]

    @property
    def chains(self) -> list[int]:
        """Numbers of the chains."""
        return list(range(self.nchains))

    @property
    def nchains(self) -> int:
        """Number of chains."""
        return int(self.posterior.sizes["chain"])

    def __len__(self) -> int:
        return int(self.posterior.sizes["draw"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return MultiTrace(self.posterior.isel(draw=key))
        if isinstance(key, str):
            return self.get_values(key)
        return self.point(key)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and "posterior" in vars(self) and name in self.varnames:
            return self.get_values(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @check_arguments
    def get_values(
        self,
        varname: str,
        burn: int = 0,
        thin: int = 1,
        combine: bool = True,
        chains: int | Sequence[int] | None = None,
        squeeze: bool = True,
    ) -> Any:
        """Return the draws of a variable.

        Parameters
        ----------
        varname
            Its name.
        burn
            Number of draws of each chain to leave out at the begin.
        thin
            Take only each draw of this number.
        combine
            Whether to put chains one after the other; else a list has an array for each.
        chains
            Numbers of the chains to take; all by default.
        squeeze
            Whether the list of a single chain is its array.
        """
        if varname not in self.posterior.data_vars:
            raise KeyError(f"no draws of {varname!r}; there are {', '.join(self.varnames)}")
        burn, thin = check_whole(burn, "burn", least=0), check_whole(thin, "thin", least=1)
        if chains is None:
            chains = self.chains
        chosen = list(chains) if isinstance(chains, Sequence | np.ndarray) else [chains]
        numbers = [check_whole(c, "chains", least=0, most=self.nchains - 1) for c in chosen]
        values = [self.posterior[varname].values[c, burn::thin] for c in numbers]
        if combine:
            return np.concatenate(values)
        return values[0] if squeeze and len(values) == 1 else values

    def point(self, idx: int, chain: int | None = None) -> dict[str, np.ndarray]:
        """Return the values of all variables at one draw, of the last chain by default."""
        chain = self.nchains - 1 if chain is None else chain
        number = check_whole(idx, f"the number of a draw, got {shown(idx)};", least=-len(self))
        if number >= len(self):
            raise IndexError(f"there are {len(self)} draws, none has the number {number}")
        return {name: self.posterior[name].values[chain, number] for name in self.varnames}

    def points(self, chains: Sequence[int] | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Return the points of chains, one after the other."""
        for chain in self.chains if chains is None else chains:
            for i in range(len(self)):
                yield self.point(i, chain)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.nchains} chains, {len(self)} draws, "
            f"{len(self.varnames)} variables>"
        )
