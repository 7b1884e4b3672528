"""Which draws and which explorations are better, and whether draws can stand for better ones."""

from __future__ import annotations

from vibayes.importance import GOOD_KHAT, has_good_tail
from vibayes.search.explore import Exploration
from vibayes.search.mixtures import WeightedDraws

__all__ = ["is_better", "is_nearly_even", "is_nearly_exact"]

KHAT_ERROR = 0.1  # of a thousand draws
EVEN_WEIGHTS = 0.9  # share of effective draws


def is_better(new: Exploration, old: Exploration) -> bool:
    """Tell whether the weights of one exploration are better than those of another.

    By how many draws they are worth and by Pareto k-hat, where these tell them apart: an ELBO
    hardly sees the tails that it misses, and a k-hat of few effective draws is nothing to go by.
    """
    if new.trusted != old.trusted:
        return new.trusted
    sizes = new.draws.size / len(new.draws.values), old.draws.size / len(old.draws.values)
    if max(sizes) > 2 * min(sizes):
        return sizes[0] > sizes[1]
    least, difference = min(new.draws.khat, old.draws.khat), new.draws.khat - old.draws.khat
    if least < 1.0 and abs(difference) > KHAT_ERROR:
        return difference < 0
    return new.best.elbo > old.best.elbo


def is_nearly_exact(draws: WeightedDraws) -> bool:
    """Tell whether weights are so even that what was drawn from needs no correction."""
    return draws.khat < GOOD_KHAT and draws.size > EVEN_WEIGHTS * len(draws.values)


def is_nearly_even(draws: WeightedDraws) -> bool:
    """Tell the same of few draws, of which Pareto k-hat tells little if nearly all count."""
    count = len(draws.values)
    return draws.size > EVEN_WEIGHTS * count and has_good_tail(draws.khat, draws.size, count)
