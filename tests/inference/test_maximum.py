import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ConvergenceWarning, ModelError


def test_the_mode_of_a_normal_sample_is_on_the_scale_of_the_variables():
    data = np.random.default_rng(0).normal(3, 2, size=50)
    with vb.Model():
        mu = vb.Flat("mu")
        sigma = vb.HalfFlat("sigma", initval=1.0)
        vb.Deterministic("ratio", mu / sigma)
        vb.Normal("y", mu, sigma, observed=data)
        point = vb.find_MAP()
        results = vb.find_MAP(initvals={"mu": 1.0}, return_inferencedata=True)
    np.testing.assert_allclose(point["mu"], data.mean(), rtol=1e-5)
    np.testing.assert_allclose(point["sigma"], data.std(), rtol=1e-5)
    np.testing.assert_allclose(point["sigma_log__"], np.log(point["sigma"]))
    np.testing.assert_allclose(point["ratio"], point["mu"] / point["sigma"])
    assert results.posterior["mu"].shape == (1, 1)
    np.testing.assert_allclose(results.posterior["mu"].item(), point["mu"], rtol=1e-5)
    assert "y" in results.observed_data


def test_minibatches_stand_for_the_whole_data():
    data = np.arange(20.0)
    with vb.Model():
        batch = vb.Minibatch(data, batch_size=5)
        vb.Normal("y", vb.Flat("mu"), 1, observed=batch, total_size=20)
        np.testing.assert_allclose(vb.find_MAP()["mu"], data.mean(), rtol=1e-6)


def test_a_density_without_a_maximum_is_told():
    with vb.Model():
        x = vb.Flat("x")
        vb.Potential("slope", x**3)
        with pytest.warns(ConvergenceWarning, match="find_MAP did not converge"):
            vb.find_MAP(initvals={"x": 1.0}, options={"maxiter": 3})


def test_what_has_no_gradient_is_told():
    with vb.Model():
        vb.Poisson("n", 3.0)
        with pytest.raises(ModelError, match="'n' is discrete"):
            vb.find_MAP()


def test_an_unknown_solver_is_told():
    with vb.Model():
        vb.Normal("x")
        with pytest.raises(ValueError, match=r"method must be one of L-BFGS-B, .* 'adam'"):
            vb.find_MAP("adam")


def test_arguments_by_the_names_of_pymc():
    with vb.Model() as model:
        vb.Normal("x", 1.0, vb.HalfNormal("s", initval=1.0), initval=0.5)
        vb.Potential("well", -((model["s"] - 2) ** 4) - model["x"] ** 2)
        same = [
            vb.find_MAP(initvals={"x": 3.0}),
            vb.find_MAP({"x": 3.0}),
            vb.find_MAP(start={"x": 3.0}, seed=1, progressbar=True, progressbar_theme=None),
        ]
        for point in same[1:]:
            assert point == same[0]
        values, raw = vb.find_MAP({"x": 3.0}, return_raw=True, include_transformed=False)
        assert values == {name: same[0][name] for name in ("x", "s")}
        np.testing.assert_allclose(raw.x[1], values["x"])  # s is the first
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            vb.find_MAP({"x": 30.0}, maxeval=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vars": []}, "no argument vars: all free variables are moved"),
        ({"nonsense": 1}, "unexpected keyword argument 'nonsense'"),
        ({"start": {}, "initvals": {}}, "initvals is given twice"),
        ({"method": {}, "start": {}}, "start is given twice"),
        ({"seed": 1, "random_seed": 1}, "random_seed is given twice"),
    ],
)
def test_arguments_without_a_meaning(arguments, message):
    with vb.Model():
        vb.Normal("x")
        with pytest.raises(TypeError, match=message):
            vb.find_MAP(**arguments)
