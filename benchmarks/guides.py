"""NumPyro's neural guides beside vibayes, on three posteriors in closed form.

    python benchmarks/guides.py banana|funnel|donut METHOD

METHOD is AutoBNAFNormal or AutoDAIS, which need NumPyro, or a method of ``vb.fit``. Prints the
largest error of a mean, in posterior standard deviations, the narrowest and the widest width from
5 % to 95 %, as multiples of the true one, and the seconds of the fit, compilation included.
"""

import sys
import time
import warnings

import numpy as np

STEPS, DRAWS = 6000, 4000
START = np.array([3.0, 1.0])  # of the donut, which has no prior


def truth(name, n=200_000):
    rng = np.random.default_rng(0)
    if name == "banana":
        x = 1 + rng.standard_normal(n)
        return {"x": x, "y": x**2 + 0.03 * rng.standard_normal(n)}
    if name == "funnel":
        v = 3 * rng.standard_normal(n)
        return {"v": v, "x": np.exp(v / 2)[:, None] * rng.standard_normal((n, 9))}
    grid = np.linspace(1, 9, 100_001)
    p = grid * np.exp(-0.5 * ((grid - 5) / 0.3) ** 2)
    r = np.interp(rng.random(n), np.cumsum(p) / p.sum(), grid)
    z = rng.standard_normal((n, 2))
    return {"x": r[:, None] * z / np.linalg.norm(z, axis=1)[:, None]}


def by_numpyro(name, method):
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value

    def model():
        if name == "banana":
            x = numpyro.sample("x", dist.Normal(1, 1))
            numpyro.sample("y", dist.Normal(x**2, 0.03))
        elif name == "funnel":
            v = numpyro.sample("v", dist.Normal(0, 3))
            numpyro.sample("x", dist.Normal(0, jnp.exp(v / 2)).expand([9]).to_event(1))
        else:
            flat = dist.ImproperUniform(dist.constraints.real_vector, (), (2,))
            radius = jnp.sqrt((numpyro.sample("x", flat) ** 2).sum() + 1e-12)
            numpyro.factor("ring", -0.5 * ((radius - 5) / 0.3) ** 2)

    options = {"AutoBNAFNormal": {"num_flows": 1, "hidden_factors": [8, 8]}, "AutoDAIS": {"K": 8}}
    if name == "donut":
        options[method]["init_loc_fn"] = init_to_value(values={"x": jnp.array(START)})
    guide = getattr(autoguide, method)(model, **options[method])
    optimizer, loss = numpyro.optim.Adam(3e-3), Trace_ELBO(num_particles=16)
    svi = SVI(model, guide, optimizer, loss)
    params = svi.run(jax.random.PRNGKey(1), STEPS, progress_bar=False).params
    return guide.sample_posterior(jax.random.PRNGKey(2), params, sample_shape=(DRAWS,))


def by_vibayes(name, method):
    import pytensor.tensor as pt

    import vibayes as vb

    with vb.Model():
        if name == "banana":
            x = vb.Normal("x", 1, 1)
            vb.Normal("y", x**2, 0.03)
        elif name == "funnel":
            v = vb.Normal("v", 0, 3)
            vb.Normal("x", 0, pt.exp(v / 2), shape=9)
        else:
            x = vb.Flat("x", shape=2, initval=START)
            vb.Potential("ring", -0.5 * ((pt.sqrt((x**2).sum() + 1e-12) - 5) / 0.3) ** 2)
        approx = vb.fit(method=method, random_seed=1, progressbar=False)
    return {k: d.values[0] for k, d in approx.sample(DRAWS, random_seed=1).posterior.items()}


def compared(found, true):
    errors, widths = [], []
    for key, expected in true.items():
        a, b = (np.asarray(d).reshape(len(d), -1) for d in (found[key], expected))
        if a.shape[1] == 9:  # of which the natural scale has no variance worth the name
            a, b = np.arcsinh(a), np.arcsinh(b)
        errors += list(np.abs(a.mean(axis=0) - b.mean(axis=0)) / b.std(axis=0))
        (low, high), (below, above) = (np.quantile(d, [0.05, 0.95], axis=0) for d in (a, b))
        widths += list((high - low) / (above - below))
    return max(errors), min(widths), max(widths)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, method = sys.argv[1:]
    begin = time.perf_counter()
    found = (by_numpyro if method.startswith("Auto") else by_vibayes)(name, method)
    seconds = time.perf_counter() - begin
    error, narrow, wide = compared(found, truth(name))
    print(f"{name} {method}: error {error:.2f}, widths {narrow:.2f} to {wide:.2f}, {seconds:.0f} s")
