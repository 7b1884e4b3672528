"""What each method makes of three posteriors whose moments are known in closed form.

Run it with ``python docs/examples/compare_methods.py``. For each it prints the largest error of a
mean, in posterior standard deviations, the narrowest and the widest standard deviation, as a
multiple of the true one, both of 4,000 draws, and the verdict. Beside them stands the time of the
fit, compilation included.
"""

# %% Three posteriors, with the means and standard deviations of their variables
import platform
import time
import warnings

import numpy as np

import vibayes as vb

warnings.simplefilter("ignore", UserWarning)  # the verdict is printed


def correlated():
    """Return two normal variables with a correlation of 0.95."""
    with vb.Model() as model:
        vb.MvNormal("z", np.zeros(2), cov=[[1.0, 0.95], [0.95, 1.0]])
    return model, {"z": ([0.0, 0.0], [1.0, 1.0])}


def bent():
    """Return a normal variable, and another one around its square."""
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x**2, 0.5)
    return model, {"x": ([0.0], [1.0]), "y": ([1.0], [1.5])}


def two_modes():
    """Return a mixture of two normal distributions, six standard deviations apart."""
    w, mu = np.array([0.3, 0.7]), np.array([-3.0, 3.0])
    with vb.Model() as model:
        vb.NormalMixture("x", w=w, mu=mu, sigma=1.0)
    mean = w @ mu
    return model, {"x": ([mean], [np.sqrt(w @ (1 + mu**2) - mean**2)])}


# %% The methods, each as its own defaults have it; particles know no end, and get 1,000 steps
METHODS = {
    "advi": {},
    "fullrank_advi": {},
    "laplace": {},
    "pathfinder": {},
    "svgd": dict(n=1_000, obj_optimizer=vb.adam(learning_rate=0.1)),
    "mixture": {},
    "auto": {},
}


def errors(posterior, truth):
    """Return the largest error of a mean, and the extremes of the standard deviations' ratios."""
    shifts, ratios = [], []
    for name, (mean, sd) in truth.items():
        draws = posterior[name].values.reshape(-1, len(mean))
        shifts += list(abs(draws.mean(axis=0) - mean) / sd)
        ratios += list(draws.std(axis=0) / sd)
    return max(shifts), min(ratios), max(ratios)


# %% All of them
if __name__ == "__main__":
    print(f"vibayes {vb.__version__}, Python {platform.python_version()}")
    for posterior in (correlated, bent, two_modes):
        print(f"\n{posterior.__doc__.removeprefix('Return ').capitalize()}")
        print(f"{'method':15} {'mean off':>8} {'widths':>14} {'seconds':>8}  verdict")
        for method, options in METHODS.items():
            model, truth = posterior()
            began = time.perf_counter()
            approx = vb.fit(
                method=method,
                model=model,
                random_seed=1,
                diagnose=False,
                progressbar=False,
                **options,
            )
            seconds = time.perf_counter() - began
            off, low, high = errors(approx.sample(4_000, random_seed=1).posterior, truth)
            diagnosis = approx.diagnose(random_seed=1)
            verdict = ("good" if diagnosis.good else "not good") if diagnosis.judged else "none"
            widths = f"{low:.2f} ... {high:.2f}"
            print(f"{method:15} {off:8.2f} {widths:>14} {seconds:8.1f}  {verdict}", flush=True)
