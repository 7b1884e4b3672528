"""Coordinates that suit a posterior: how much the data say of each variable of a hierarchy.

The best independent normals, in non-centred coordinates at first, tell what the data say about
there; with that the coordinates become others, and so again. A mean field whose ELBO rises no more
is the end of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vibayes import progress
from vibayes.eigenvalues import eigh
from vibayes.model.coordinates import Coordinates, places_of_parameters
from vibayes.model.flat import FlatLayout, Slot
from vibayes.model.target import Target
from vibayes.search.best_normals import fit_diagonal
from vibayes.search.budget import Budget
from vibayes.search.noise import stratified_normals
from vibayes.search.normals import FittedNormal

__all__ = ["informed", "line_of", "suited"]

NOISE = 16  # draws that the mean field is fitted to
DRAWS = 64  # draws about which to look
STEP = 0.1  # of differences, in standard deviations of the draws
USABLE = 0.9  # share of draws with a positive curvature, to have a logarithm
EXPLAINED = 0.5  # share of the variance of these that a trend has to explain
LEAST_TREND = 0.02  # standard deviation of these that is worth one
LEAST_MOVE = 0.1  # in widths: what pulls have to change to be worth a line
ENOUGH = 0.5  # gain in ELBO that is worth another round


def suited(
    target: Target, rng: np.random.Generator, budget: Budget, rounds: int = 5
) -> tuple[Target, FittedNormal | None]:
    """Return the target in coordinates that suit it, and a mean field, at whose centre it starts.

    Parameters
    ----------
    target
        In any coordinates but the model's own.
    rng
        Where randomness comes from.
    budget
        Time and steps.
    rounds
        Largest number of coordinates to try.
    """
    noise = stratified_normals(NOISE, target.ddim, rng)
    best, best_elbo, found = target, -np.inf, None
    for i in range(rounds):
        progress.say(f"coordinates that suit the model: {i + 1}")
        q = fit_diagonal(target, noise, budget)
        if not q.elbo > best_elbo:
            break
        gain, best, best_elbo, found = q.elbo - best_elbo, target, q.elbo, q
        best.start = q.mean
        if gain < ENOUGH or budget.exhausted:
            break
        target = best.with_coordinates(informed(best, q, rng))
        target.start[target.standardized_places] = 0.0
    return best, found


def informed(target: Target, q: FittedNormal, rng: np.random.Generator) -> Coordinates:
    """Return coordinates by what the log density without a variable's prior is about a normal.

    That is taken for a quadratic function of the variable, with medians over draws of what it is
    at each of them: of its curvature, and of its gradient where that curvature has been taken out.
    Where the curvature goes up or down with the parameters, as it does with the noise of the data,
    so does that function.
    """
    noise = rng.standard_normal((DRAWS // 2, target.ddim))
    Z = q.at(np.concatenate([noise, -noise]))
    force, values = target.forces(Z, np.zeros_like(Z))
    usable = np.isfinite(force).all(axis=1) & np.isfinite(values).all(axis=1)
    coordinates = coordinates_of(target)
    if not usable.any():
        return coordinates
    Z, force, values = Z[usable], force[usable], values[usable]
    width = STEP * values.std(axis=0) + 1e-6 * np.abs(values).mean(axis=0) + 1e-12
    information, pull, lines = [], [], []
    parameters = Z[:, places_of_parameters(target.model, coordinates.variables)]
    slopes, offsets = np.zeros_like(coordinates.slopes), np.zeros_like(coordinates.offsets)
    for i, (slot, known) in enumerate(zip(slots_of(target), coordinates.information, strict=True)):
        joint = known.ndim > len(slot.shape)
        found = (joint_curvatures if joint else own_curvatures)(target, Z, width, slot, rng)
        curvature = positive(middle(found), joint)
        ratios = ratios_of(found, curvature)
        slopes[i], offsets[i] = trend(target, Z, ratios)
        scales = np.where(np.isnan(ratios), np.exp(Z @ slopes[i] + offsets[i]), ratios)
        scales = scales.reshape(-1, *[1] * len(slot.shape))
        there, at = (x[:, slot.start : slot.stop].reshape(-1, *slot.shape) for x in (force, values))
        product = (curvature @ at[..., None])[..., 0] if joint else curvature * at
        # in units of the curvature at each draw, whose changes are none of the pull
        pulls = there / scales + product
        line = line_of(pulls.reshape(len(Z), -1), parameters, widths_by(curvature, joint))
        rest = pulls - (parameters @ line.T).reshape(pulls.shape)
        information.append(curvature)
        pull.append(np.median(rest, axis=0))
        lines.append(line)
    return Coordinates(
        coordinates.variables, tuple(information), tuple(pull), tuple(lines), slopes, offsets
    )


def ratios_of(found: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return how large curvatures (n, ...) are at each draw, in units of what is made of them.

    NaN where that cannot be told, (n,).
    """
    seen = curvature > 1e-8 * curvature.max()
    if not seen.any():
        return np.full(len(found), np.nan)
    ratios = np.median(found[:, seen] / curvature[seen], axis=1)
    return np.where(np.isfinite(ratios) & (ratios > 0), ratios, np.nan)


def line_of(pulls: np.ndarray, parameters: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return how pulls change with the parameters, if they do so linearly: zeros if not.

    Parameters
    ----------
    pulls
        Of each element at draws, (n, m).
    parameters
        There, (n, k).
    widths
        By which a pull of one moves each element, in units of its width, (m,).

    Returns
    -------
    numpy.ndarray
        (m, k).
    """
    centred, off = (x - x.mean(axis=0) for x in (parameters, pulls))
    if parameters.shape[1] > len(parameters) // 4:
        return np.zeros((pulls.shape[1], parameters.shape[1]))
    line = np.linalg.lstsq(centred, off, rcond=1e-8)[0].T
    moved, left = ((x * widths) ** 2 for x in (off, off - centred @ line.T))
    explained = left.mean() < (1 - EXPLAINED) * moved.mean()
    return line if explained and moved.mean() > LEAST_MOVE**2 else np.zeros_like(line)


def widths_by(curvature: np.ndarray, joint: bool) -> np.ndarray:
    """Return by how much a pull of one moves each element, in units of its width, flat."""
    own = curvature.diagonal(axis1=-2, axis2=-1) if joint else curvature
    return np.divide(1, np.sqrt(own), out=np.zeros(own.shape), where=own > 0).ravel()


def trend(target: Target, Z: np.ndarray, ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Return how the logarithm of curvatures changes with the parameters, if it does so linearly.

    Parameters
    ----------
    target
        Whose.
    Z
        Flat vectors, (n, d).
    ratios
        How large curvatures are there, (n,): see :func:`ratios_of`.

    Returns
    -------
    slopes : numpy.ndarray
        (d,).
    offset : float
        Both are zero if a linear function does not tell most of what there is to tell.
    """
    none = np.zeros(Z.shape[1]), 0.0
    few, usable = ~target.standardized_places, ~np.isnan(ratios)
    if few.sum() > len(Z) // 4 or usable.mean() < USABLE:
        return none
    logs = np.log(ratios[usable])
    centre = Z[usable][:, few].mean(axis=0)
    design = np.column_stack([Z[usable][:, few] - centre, np.ones(len(logs))])
    coefficients = np.linalg.lstsq(design, logs, rcond=1e-8)[0]
    left = logs - design @ coefficients
    if logs.std() < LEAST_TREND or left.var() > (1 - EXPLAINED) * logs.var():
        return none
    slopes = np.zeros(Z.shape[1])
    slopes[few] = coefficients[:-1]
    return slopes, float(coefficients[-1] - centre @ coefficients[:-1])


def coordinates_of(target: Target) -> Coordinates:
    """Return the coordinates of a target that has some."""
    if target.coordinates is None:
        raise ValueError("the target is in the model's own coordinates")
    return target.coordinates


def slots_of(target: Target) -> list[Slot]:
    """Return where the variables lie that are made of standard ones, as the data meet them."""
    layout, known = FlatLayout(target.model.value_vars), coordinates_of(target)
    places = dict(zip(target.model.free_RVs, layout.slots, strict=True))
    pairs = zip(known.variables, known.pull, strict=True)
    return [replace(places[rv], shape=pull.shape) for rv, pull in pairs]


def own_curvatures(
    target: Target, Z: np.ndarray, width: np.ndarray, slot: Slot, rng: np.random.Generator
) -> np.ndarray:
    """Return curvatures by each element of a variable, (n, ...).

    Differences along random signs give it for all elements at once, without any error where no two
    of them meet in one term of the log density (Bekas et al. 2007).
    """
    signs = rng.choice([-1.0, 1.0], (len(Z), slot.stop - slot.start))
    found = signs * differences(target, Z, signs, width, slot) / width[slot.start : slot.stop]
    return found.reshape(-1, *slot.shape)


def joint_curvatures(
    target: Target, Z: np.ndarray, width: np.ndarray, slot: Slot, rng: np.random.Generator
) -> np.ndarray:
    """Return matrices of curvatures for each event of a variable, its last axis, (n, ...).

    Each element of the events in turn, in all events at once, as :func:`own_curvatures` does.
    """
    d, widths = slot.shape[-1], width[slot.start : slot.stop].reshape(slot.shape)
    columns = []
    for j in range(d):
        signs = rng.choice([-1.0, 1.0], (len(Z), *slot.shape[:-1], 1))
        moved = (signs * (np.arange(d) == j)).reshape(len(Z), -1)
        found = differences(target, Z, moved, width, slot).reshape(len(Z), *slot.shape)
        columns.append(signs * found / widths[..., [j]])
    return np.stack(columns, axis=-1)


def positive(curvature: np.ndarray, joint: bool) -> np.ndarray:
    """Return curvatures, the negative ones made zero: numbers, or matrices."""
    if not joint:
        return np.maximum(curvature, 0.0)
    eigenvalues, vectors = eigh(0.5 * (curvature + curvature.mT))
    return (vectors * np.maximum(eigenvalues, 0.0)[..., None, :]) @ vectors.mT


def differences(
    target: Target, Z: np.ndarray, signs: np.ndarray, width: np.ndarray, slot: Slot
) -> np.ndarray:
    """Return minus the change of a variable's forces by a width along some directions."""
    shift, here = np.zeros_like(Z), slice(slot.start, slot.stop)
    shift[:, here] = signs * width[here]
    forces = [target.forces(Z, sign * shift)[0][:, here] for sign in (1.0, -1.0)]
    return 0.5 * (forces[1] - forces[0])


def middle(x: np.ndarray) -> np.ndarray:
    """Return the medians of the finite rows along the first axis, zero where there are none."""
    finite = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    return np.median(x[finite], axis=0) if finite.any() else np.zeros(x.shape[1:])
