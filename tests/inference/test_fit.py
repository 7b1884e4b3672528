import numpy as np
import pytest

import vibayes as vb
from vibayes.inference.base import METHODS


@pytest.fixture(scope="module")
def model():
    """Vectors, matrices, simplexes, ordered vectors and bounded scalars together."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, shape=2)
        s = vb.HalfNormal("s", 1)
        vb.Dirichlet("p", np.ones((2, 3)))
        vb.Uniform("u", -1, 1)
        ordered = vb.distributions.transforms.ordered
        vb.Normal("o", 0, 1, shape=3, transform=ordered, initval=[-1.0, 0.0, 1.0])
        vb.Normal("w", 0, 1, shape=(2, 2))
        vb.Normal("y", x, s, observed=[1.0, 2.0])
    return model


@pytest.mark.parametrize("method", [*METHODS, "nfvi=scale-planar*2-loc", "ADVI"])
def test_every_method(model, method):
    searches = method in METHODS and not METHODS[method].takes_steps
    options = {} if searches else {"n": 20, "backend": "py"}
    approx = vb.fit(
        method=method, model=model, random_seed=1, diagnose=False, progressbar=False, **options
    )
    posterior = approx.sample(30, random_seed=1).posterior
    assert posterior["x"].shape == (1, 30, 2)
    assert posterior["w"].shape == (1, 30, 2, 2)
    np.testing.assert_allclose(posterior["p"].sum("p_dim_1"), 1)
    assert (np.diff(posterior["o"].values, axis=-1) > 0).all()
    assert (np.abs(posterior["u"].values) < 1).all()
    assert (posterior["s"].values > 0).all()
    assert all(np.isfinite(v).all() for v in posterior.data_vars.values())


@pytest.mark.parametrize("method", ["auto", "laplace", "pathfinder", "mixture"])
def test_searches_take_no_steps(model, method):
    for options in ({"n": 20}, {"callbacks": [print]}, {"backend": "py"}, {"obj_n_mc": 2}):
        with pytest.raises(TypeError, match=f"{next(iter(options))} has no effect on method="):
            vb.fit(method=method, model=model, **options)


@pytest.mark.parametrize("method", ["nuts", "advi=planar", ""])
def test_unknown_method(model, method):
    with pytest.raises(ValueError, match=r"unknown; known are 'advi', .*'nfvi=FORMULA'"):
        vb.fit(5, method, model)


@pytest.mark.parametrize("cls", [vb.ADVI, vb.FullRankADVI, vb.LowRankADVI, vb.NFVI])
def test_unknown_options_are_errors(model, cls):
    with pytest.raises(TypeError, match="flavour"):
        cls(model=model, flavour="vanilla")
