"""Draw the pictures of these pages: ``python docs/figures/draw.py``.

They are the plots of vibayes as they are, of the seven points of the page on verdicts, and the
picture of ``python -m vibayes``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np

import vibayes as vb
from vibayes.__main__ import main

HERE = Path(__file__).parent
DPI = 110


def seven_points() -> vb.Model:
    """Return a regression on few points, whose priors are wide."""
    x = np.array([1.17, 2.97, 3.26, 4.69, 5.83, 6.0, 6.41])
    y = np.array([78.93, 58.2, 67.47, 37.47, 45.65, 32.92, 29.97])
    with vb.Model() as model:
        intercept = vb.Normal("intercept", 0, 100)
        slope = vb.Normal("slope", 0, 100)
        sigma = vb.HalfCauchy("sigma", 5)
        vb.Normal("y", intercept + slope * x, sigma, observed=y)
    return model


def draw() -> None:
    """Write all pictures."""
    matplotlib.use("Agg")
    with warnings.catch_warnings(), seven_points():
        warnings.simplefilter("ignore", vb.ApproximationWarning)
        mean_field = vb.fit(random_seed=1)
        auto = vb.fit(method="auto", random_seed=1)
        steps = vb.fit(
            5000, obj_optimizer=vb.adam(learning_rate=0.2), random_seed=1, diagnose=False
        )
    pictures = {
        "loss": vb.plot_loss(steps),
        "approximation": vb.plot_approximation(mean_field, against=auto, random_seed=1)[0, 0],
        "verdict": vb.plot_verdict(mean_field)[0],
        "families": vb.plot_families(auto)[0],
    }
    for name, ax in pictures.items():
        ax.figure.savefig(HERE / f"{name}.png", dpi=DPI)
    main(["--plot", str(HERE / "first.png")])


if __name__ == "__main__":
    draw()
