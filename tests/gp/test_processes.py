import numpy as np
import pytest
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError

RNG = np.random.default_rng(1)
X = np.sort(RNG.uniform(0, 6, 25))[:, None]
Y = np.sin(X[:, 0]) + 0.1 * RNG.normal(size=25)
NEW = np.array([[0.5], [3.0], [5.5]])


def kernel(a, b, ls=1.2, scale=1.5):
    return scale**2 * np.exp(-0.5 * ((a - b.T) / ls) ** 2)


def function(ls=1.2, scale=1.5):
    return scale**2 * vb.gp.cov.ExpQuad(1, ls=ls)


def exact(noise=0.1):
    """Return mean and covariance at the new inputs, and the log evidence."""
    K = kernel(X, X) + noise**2 * np.eye(25)
    A = np.linalg.solve(K, kernel(X, NEW))
    evidence = stats.multivariate_normal(np.zeros(25), K).logpdf(Y)
    return A.T @ Y, kernel(NEW, NEW) - kernel(NEW, X) @ A, evidence


def test_the_marginal_likelihood_and_its_predictions():
    with vb.Model() as model:
        ls = vb.InverseGamma("ls", 5, 5)
        gp = vb.gp.Marginal(cov_func=function(ls))
        gp.marginal_likelihood("y", X=X, y=Y, sigma=0.1)
        gp.conditional("f_new", NEW)
        mean, cov = gp.predict(NEW, point={"ls": 1.2})
        _, variance = gp.predict(NEW, point={"ls": 1.2}, diag=True, pred_noise=True)
    expected_mean, expected_cov, evidence = exact()
    np.testing.assert_allclose(mean, expected_mean, atol=1e-3)
    np.testing.assert_allclose(cov, expected_cov, atol=1e-4)
    np.testing.assert_allclose(variance, expected_cov.diagonal() + 0.01, atol=1e-4)
    point = {"ls_log__": np.log(1.2), "f_new": np.zeros(3)}
    value = model.compile_logp(model.y, backend="py")(point)
    np.testing.assert_allclose(value, evidence, rtol=1e-4)
    assert model["f_new"].type.shape == (3,)


@pytest.mark.parametrize("approx", ["VFE", "FITC", "DTC"])
def test_sparse_processes_with_all_inputs_are_exact(approx):
    with vb.Model() as model:
        vb.Normal("unused")
        gp = vb.gp.MarginalSparse(approx, cov_func=function())
        gp.marginal_likelihood("y", X=X, Xu=X, y=Y, sigma=0.1)
        mean, cov = gp.predict(NEW)
    expected_mean, expected_cov, evidence = exact()
    np.testing.assert_allclose(mean, expected_mean, atol=2e-3)
    np.testing.assert_allclose(cov, expected_cov, atol=2e-4)
    value = model.compile_logp(model.potentials[0], backend="py")(model.initial_point())
    np.testing.assert_allclose(value, evidence, rtol=1e-3)


def test_few_inducing_inputs_bound_the_evidence():
    values = {}
    for approx in ("VFE", "FITC", "DTC"):
        with vb.Model() as model:
            vb.Normal("unused")
            gp = vb.gp.MarginalApprox(approx, cov_func=function())
            gp.marginal_likelihood("y", X=X, Xu=X[::5], y=Y, sigma=0.1)
        values[approx] = model.compile_logp(model.potentials[0], backend="py")(
            model.initial_point()
        )
    assert values["VFE"] < values["DTC"]
    assert values["VFE"] < exact()[2]
    Q = kernel(X, X[::5]) @ np.linalg.solve(
        kernel(X[::5], X[::5]) + 1e-6 * np.eye(5), kernel(X[::5], X)
    )
    lost = np.clip((kernel(X, X) - Q).diagonal(), 0, None)
    fitc = stats.multivariate_normal(np.zeros(25), Q + np.diag(lost + 0.01)).logpdf(Y)
    dtc = stats.multivariate_normal(np.zeros(25), Q + 0.01 * np.eye(25)).logpdf(Y)
    np.testing.assert_allclose(values["FITC"], fitc, rtol=1e-4)
    np.testing.assert_allclose(values["DTC"], dtc, rtol=1e-4)
    np.testing.assert_allclose(values["VFE"], dtc - 0.5 * lost.sum() / 0.01, rtol=1e-4)


@pytest.mark.parametrize("reparameterize", [True, False])
def test_latent_values_have_the_covariance_of_the_process(reparameterize):
    with vb.Model() as model:
        gp = vb.gp.Latent(mean_func=vb.gp.mean.Constant(2.0), cov_func=function())
        f = gp.prior("f", X=X[:4], reparameterize=reparameterize)
        gp.conditional("f_new", NEW)
        values = np.array([0.5, 1.0, 2.0, 1.0])
        mean, cov = gp.predict(NEW, given={"f": values})
    drawn = vb.sample_prior_predictive(6_000, model=model, random_seed=1).prior
    own = drawn["f"].values[0]
    np.testing.assert_allclose(own.mean(0), np.full(4, 2.0), atol=0.1)
    np.testing.assert_allclose(np.cov(own.T), kernel(X[:4], X[:4]), atol=0.2)
    A = np.linalg.solve(kernel(X[:4], X[:4]) + 1e-6 * np.eye(4), kernel(X[:4], NEW))
    np.testing.assert_allclose(mean, 2 + A.T @ (values - 2), rtol=1e-4)
    np.testing.assert_allclose(cov, kernel(NEW, NEW) - kernel(NEW, X[:4]) @ A, atol=1e-4)
    together = np.cov(np.concatenate([own, drawn["f_new"].values[0]], axis=1).T)
    both = np.concatenate([X[:4], NEW])
    np.testing.assert_allclose(together, kernel(both, both), atol=0.25)
    assert f is model["f"]


def test_a_fit_of_a_latent_process():
    counts = np.random.default_rng(2).poisson(np.exp(1 + np.sin(X[:, 0])))
    with vb.Model(coords={"row": range(25)}):
        gp = vb.gp.Latent(cov_func=function())
        f = gp.prior("f", X=X, dims="row")
        vb.Poisson("y", vb.math.exp(1 + f), observed=counts, dims="row")
        approx = vb.fit(method="fullrank_advi", random_seed=1, progressbar=False)
    found = approx.sample(500, random_seed=1).posterior["f"]
    assert found.dims == ("chain", "draw", "row")
    assert np.corrcoef(found.mean(("chain", "draw")), np.sin(X[:, 0]))[0, 1] > 0.8


@pytest.mark.parametrize("parametrization", ["noncentered", "centered"])
def test_basis_functions_have_the_covariance_of_the_process(parametrization):
    with vb.Model() as model:
        gp = vb.gp.HSGP(m=[40], c=2.0, parametrization=parametrization, cov_func=function())
        gp.prior("f", X=X)
        gp.conditional("f_new", NEW)
        phi, scales = (g.eval(mode="FAST_COMPILE") for g in gp.prior_linearized(NEW))
    np.testing.assert_allclose(phi * scales**2 @ phi.T, kernel(NEW, NEW), atol=1e-3)
    drawn = vb.sample_prior_predictive(6_000, model=model, random_seed=1).prior
    np.testing.assert_allclose(np.cov(drawn["f_new"].values[0].T), kernel(NEW, NEW), atol=0.25)
    assert model["f_hsgp_coeffs_"].type.shape == (40,)


def test_boxes_of_several_columns():
    with vb.Model() as model:
        both = vb.gp.cov.Matern52(2, ls=[1.0, 2.0])
        gp = vb.gp.HSGP(m=[3, 4], L=[5.0, 6.0], drop_first=True, cov_func=both)
        gp.prior("f", X=np.random.default_rng(1).normal(size=(7, 2)))
    assert model["f_hsgp_coeffs_"].type.shape == (11,)
    assert gp.n_basis_vectors == 11


def test_harmonics_have_the_covariance_of_the_process():
    with vb.Model() as model:
        gp = vb.gp.HSGPPeriodic(m=20, scale=1.5, cov_func=vb.gp.cov.Periodic(1, 2.0, ls=0.8))
        gp.prior("f", X=X)
        phi, scales = (g.eval(mode="FAST_COMPILE") for g in gp.prior_linearized(NEW))
    waves = np.sin(np.pi * (NEW - NEW.T) / 2.0) / 0.8
    np.testing.assert_allclose(phi * scales**2 @ phi.T, 2.25 * np.exp(-0.5 * waves**2), rtol=1e-6)
    assert model["f_hsgp_coeffs_"].type.shape == (39,)


def test_sums_of_processes():
    first = vb.gp.Marginal(cov_func=function(), mean_func=vb.gp.mean.Constant(1.0))
    made = first + vb.gp.Marginal(cov_func=vb.gp.cov.WhiteNoise(0.5))
    with vb.Model() as model:
        made.marginal_likelihood("y", X=X, y=Y, sigma=0.1)
        vb.Normal("unused")
    K = kernel(X, X) + 0.26 * np.eye(25)
    value = model.compile_logp(model.y, backend="py")(model.initial_point())
    expected = stats.multivariate_normal(np.ones(25), K).logpdf(Y)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    with pytest.raises(TypeError, match="only processes of one kind can be added"):
        first + vb.gp.Latent(cov_func=function())


class TestStochastic:
    """Hensman et al. 2013."""

    def model(self, rows=25, **options):
        with vb.Model() as model:
            gp = vb.gp.SVGP(cov_func=function())
            gp.prior("u", Xu=np.linspace(0, 6, 8)[:, None])
            if options:
                batch = vb.Minibatch(np.column_stack([X[:, 0], Y]), **options)
                gp.likelihood("y", batch[:, :1], batch[:, 1], 0.1, total_size=25)
            else:
                gp.likelihood("y", X, Y, 0.1)
        return model, gp

    def test_the_best_bound_is_that_of_titsias(self):
        model, _ = self.model()
        approx = vb.fit(model=model, method="fullrank_advi", random_seed=1, progressbar=False)
        with vb.Model() as other:
            vb.Normal("unused")
            sparse = vb.gp.MarginalSparse("VFE", cov_func=function())
            sparse.marginal_likelihood("y", X, np.linspace(0, 6, 8)[:, None], Y, 0.1)
        bound = other.compile_logp(other.potentials[0], backend="py")(other.initial_point())
        assert approx.diagnose(random_seed=1).elbo == pytest.approx(float(bound), abs=0.05)

    def test_minibatches_have_its_expectation(self):
        whole, _ = self.model()
        parts, _ = self.model(batch_size=5, random_seed=1)
        point = {"u": np.linspace(-1, 1, 8)}
        exact = float(whole.compile_logp(backend="py")(point))
        logp = parts.compile_logp(backend="py")
        found = [float(logp(point)) for _ in range(400)]
        error = np.std(found) / 20
        assert abs(np.mean(found) - exact) < 4 * error + 1e-6


def test_what_is_wrong_is_told():
    gp = vb.gp.Marginal(cov_func=function())
    with vb.Model(), pytest.raises(ModelError, match="call prior or marginal_likelihood first"):
        gp.conditional("f", NEW)
    with pytest.raises(ValueError, match="approx must be one of VFE, FITC, DTC"):
        vb.gp.MarginalSparse("XYZ", cov_func=function())
    with pytest.raises(ValueError, match="give either L"):
        vb.gp.HSGP(m=[5], cov_func=function())
    with pytest.raises(ValueError, match="m must have 1 numbers"):
        vb.gp.HSGP(m=[5, 5], c=1.5, cov_func=function())
    with pytest.raises(ModelError, match="cov_func must be Periodic"):
        vb.gp.HSGPPeriodic(m=5, cov_func=function())


@pytest.mark.parametrize("kind", [vb.gp.Latent, vb.gp.Marginal, vb.gp.MarginalSparse, vb.gp.SVGP])
def test_what_is_no_mean_and_no_covariance_is_refused(kind):
    with pytest.raises(TypeError, match=f"{kind.__name__}: mean_func must be"):
        kind(mean_func=1.0)
    with pytest.raises(TypeError, match=f"{kind.__name__}: cov_func must be"):
        kind(cov_func=vb.gp.cov.ExpQuad)
