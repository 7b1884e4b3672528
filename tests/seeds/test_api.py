"""The reference of PyMC3's variational module: what is listed there, then its examples in order.

By default the examples run in fewer, larger steps and without a compiler; as they are written they
are marked slow. Both have to come to the same, known posterior.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE
from scipy import stats

import vibayes as vb

pytestmark = pytest.mark.ci


@pytest.fixture(autouse=True)
def _without_compiler():
    """``eval()`` takes PyTensor's mode of the moment; the examples need no compiled one."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield


@pytest.fixture(params=["small", pytest.param("as written", marks=pytest.mark.slow)])
def fit(request):
    """Return ``vb.fit``, or what stands in for it."""
    return small_fit if request.param == "small" else vb.fit


def small_fit(n, **kwargs):
    optimizer = vb.adam(learning_rate=0.03)
    return vb.fit(
        n // 40,
        obj_optimizer=optimizer,
        obj_n_mc=20,
        backend=LANE,
        progressbar=False,
        **kwargs,
    )


# -- what is listed -------------------------------------------------------------------------------


@pytest.fixture
def normal():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 1)
        vb.Normal("y_obs", mu, 1, observed=[1.0, 2.0])
    return model


FAMILY = dict(
    local_rv=None,
    cost_part_grad_scale=1,
    scale_cost_to_minibatch=False,
    random_seed=1,
    start={"mu": 0.5},
)
INFERENCES = {
    "ADVI": (FAMILY, 5),
    "FullRankADVI": (FAMILY, 5),
    "SVGD": (dict(n_particles=100, jitter=1e-6, start=None, random_seed=1), 5),
    "ASVGD": (dict(random_seed=1), 5),
    "NFVI": (dict(flow="planar", random_seed=1), 5),
}
METHODS = ["advi", "fullrank_advi", "svgd", "asvgd", "nfvi"]


@pytest.mark.parametrize("name", INFERENCES)
def test_inference_classes(normal, name):
    options, n = INFERENCES[name]
    inference = getattr(vb, name)(model=normal, **options)
    assert isinstance(inference, vb.Inference)
    # draws for those that estimate, particles for those that have none of their own
    kwargs = dict(obj_n_mc=3) if name == "ASVGD" else {}
    approx = inference.fit(
        n=n, score=None, callbacks=None, progressbar=False, backend=LANE, **kwargs
    )
    assert isinstance(approx, vb.Approximation)
    assert inference.approx is approx
    assert len(inference.hist) == (n if name in ("ADVI", "FullRankADVI", "NFVI") else 0)


@pytest.mark.parametrize("method", METHODS)
def test_methods_by_name(normal, method):
    kwargs = dict(obj_n_mc=3) if method == "asvgd" else {}
    approx = vb.fit(
        n=2,
        method=method,
        model=normal,
        random_seed=1,
        start=None,
        inf_kwargs=None,
        backend=LANE,
        progressbar=False,
        **kwargs,
    )
    assert np.isfinite(vb.sample_approx(approx, draws=10, include_transformed=True)["mu"]).all()


def test_general_inferences(normal):
    approx = vb.MeanField(model=normal)
    assert vb.KLqp(approx).approx is approx
    assert vb.ImplicitGradient(approx).approx is approx
    assert vb.Stein(approx=vb.Empirical(size=5, model=normal), kernel="rbf") is not None


@pytest.mark.parametrize("name", ["MeanField", "FullRank"])
def test_gaussian_approximations(normal, name):
    approx = getattr(vb, name)(model=normal, **FAMILY)
    assert approx.mean.eval() == pytest.approx([0.5])
    assert approx.std.eval().shape == (1,)
    assert "mu" in approx.sample(draws=10, include_transformed=True).varnames
    node = approx.sample_node(normal["mu"] ** 2, size=7, more_replacements=None)
    assert node.eval().shape == (7,)
    if name == "FullRank":
        L = approx.L_chol.eval()
        np.testing.assert_allclose(approx.cov.eval(), L @ L.T)


def test_other_approximations(normal):
    empirical = vb.Empirical(trace=None, size=20, jitter=1e-6, local_rv=None, model=normal)
    assert empirical.histogram.eval().shape == (20, 1)
    flow = vb.NormalizingFlow(flow="planar", local_rv=None, model=normal)
    assert flow.sample(5)["mu"].shape == (5,)
    with normal:
        group = vb.Group(group=[normal["mu"]], vfam="mf", params=None)
        approx = vb.Approximation([group])
    assert approx.sample_vp(draws=5, hide_transformed=True)["mu"].shape == (5,)
    replaced = approx.apply_replacements(normal["mu"] + 1, more_replacements=None)
    assert replaced.eval().shape == ()
    logq, logq_norm = pytensor.function([], [approx.logq, approx.logq_norm])()
    assert logq == pytest.approx(logq_norm)
    assert list(approx.shared_params) == ["mu", "rho"]


OPTIMIZERS = {
    "adam": dict(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8),
    "adamax": dict(learning_rate=0.002, beta1=0.9, beta2=0.999, epsilon=1e-8),
    "sgd": dict(learning_rate=0.01),
    "momentum": dict(learning_rate=0.01, momentum=0.9),
    "nesterov_momentum": dict(learning_rate=0.01, momentum=0.9),
    "adagrad": dict(learning_rate=1.0, epsilon=1e-6),
    "adagrad_window": dict(learning_rate=1.0, epsilon=1e-6, n_win=10),
    "adadelta": dict(learning_rate=1.0, rho=0.95, epsilon=1e-6),
    "rmsprop": dict(learning_rate=0.001, rho=0.9, epsilon=1e-6),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(normal, name):
    """Each makes the distance to 3 smaller, whether it is given its arguments before or at once."""
    optimizer = getattr(vb, name)
    theta = pytensor.shared(np.zeros(2))
    updates = optimizer(((theta - 3) ** 2).sum(), [theta], **OPTIMIZERS[name])
    step = pytensor.function([], updates=list(updates.items()))
    for _ in range(3):
        step()
    assert (theta.get_value() > 0).all()
    partial = optimizer(**OPTIMIZERS[name])
    vb.fit(2, model=normal, obj_optimizer=partial, backend=LANE, progressbar=False)


@pytest.mark.parametrize("apply", [vb.apply_momentum, vb.apply_nesterov_momentum])
def test_momentum_of_updates(apply):
    theta = pytensor.shared(np.zeros(2))
    updates = apply(vb.sgd(theta.sum(), [theta], learning_rate=1.0), params=[theta], momentum=0.9)
    step = pytensor.function([], updates=list(updates.items()))
    step()
    first = theta.get_value()
    step()
    assert (theta.get_value() - first < first).all()  # it falls ever faster


def test_norm_constraints():
    theta = pt.as_tensor([[3.0, 4.0], [0.3, 0.4]])
    limited = vb.norm_constraint(theta, max_norm=1, norm_axes=(1,), epsilon=1e-7).eval()
    np.testing.assert_allclose(limited, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    (total,), norm = vb.total_norm_constraint([theta], max_norm=1, epsilon=1e-7, return_norm=True)
    assert norm.eval() == pytest.approx((25 + 0.25) ** 0.5)
    assert np.linalg.norm(total.eval()) == pytest.approx(1)


# -- examples -------------------------------------------------------------------------------------


def test_main_interface(fit):
    data = np.random.default_rng(1).normal(0.5, 1, size=20)
    with vb.Model():
        mu = vb.Normal("mu", 0, 1)
        vb.Normal("y_obs", mu, 1, observed=data)

        # Fit using ADVI
        approx = fit(n=20000, method="advi", random_seed=1)

        # Sample from approximation
        trace = approx.sample(1000, random_seed=1)

    # in closed form
    std = (1 + len(data)) ** -0.5
    assert trace["mu"].mean() == pytest.approx(data.sum() * std**2, abs=0.2 * std)
    assert trace["mu"].std() == pytest.approx(std, rel=0.15)


def test_basic_advi(fit):
    data = np.random.default_rng(2).normal(3, 2, size=100)

    # Simple model with ADVI
    with vb.Model():
        mu = vb.Normal("mu", mu=0, sigma=10)
        sigma = vb.HalfNormal("sigma", sigma=5)
        vb.Normal("y_obs", mu=mu, sigma=sigma, observed=data)

        # Fit using ADVI
        approx = fit(n=20000, method="advi", random_seed=1)

        # Sample from approximation
        trace_vi = approx.sample(2000, random_seed=1)

        # Check convergence
        shown = f"ELBO: {approx.hist[-1]:.2f}"

    assert float(shown.removeprefix("ELBO: ")) == pytest.approx(approx.hist[-1], abs=0.01)
    # next to the priors, the data are many
    error = data.std() / 10
    assert trace_vi["mu"].mean() == pytest.approx(data.mean(), abs=0.5 * error)
    assert trace_vi["mu"].std() == pytest.approx(error, rel=0.3)
    assert trace_vi["sigma"].mean() == pytest.approx(data.std(), rel=0.1)


def test_full_rank_advi(fit):
    correlation_matrix = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 1.0]])
    target = 2.0

    # Full-rank ADVI for correlated parameters
    with vb.Model():
        # Correlated parameters
        theta = vb.MvNormal("theta", mu=np.zeros(3), cov=np.eye(3), shape=3)

        # Transform to create correlation
        x = pt.dot(theta, correlation_matrix)

        vb.Normal("y_obs", mu=x.sum(), sigma=1, observed=target)

        # Full-rank to capture correlations
        approx = fit(n=30000, method="fullrank_advi", random_seed=1)

        # Access covariance structure
        cov_matrix = approx.cov.eval()

    # in closed form: y is one linear combination of theta, and noise
    weights = correlation_matrix.sum(axis=1)
    expected = np.linalg.inv(np.eye(3) + np.outer(weights, weights))
    # steps that stay as long as they are leave that much noise
    np.testing.assert_allclose(cov_matrix, expected, atol=0.25)
    np.testing.assert_allclose(approx.mean.eval(), expected @ weights * target, atol=0.15)


@pytest.mark.parametrize(
    ("n", "n_particles", "options"),
    [
        (300, 50, dict(backend=LANE, obj_optimizer=vb.adam(learning_rate=0.05))),
        pytest.param(10000, 200, {}, marks=pytest.mark.slow),
    ],
    ids=["small", "as written"],
)
def test_stein_variational_gradient_descent(n, n_particles, options):
    rng = np.random.default_rng(3)
    first = rng.uniform(size=200) < 0.3
    mixture_data = np.where(first, rng.normal(-1.5, 0.5, size=200), rng.normal(2.5, 0.5, size=200))

    # SVGD for complex posteriors
    with vb.Model():
        # Multi-modal posterior setup
        mu1 = vb.Normal("mu1", mu=-2, sigma=1)
        mu2 = vb.Normal("mu2", mu=2, sigma=1)

        # Create multi-modality
        vb.Mixture(
            "mixture",
            w=np.array([0.3, 0.7]),
            comp_dists=[vb.Normal.dist(mu=mu1, sigma=0.5), vb.Normal.dist(mu=mu2, sigma=0.5)],
            observed=mixture_data,
        )

        # SVGD with particles
        approx = vb.fit(
            n=n,
            method="svgd",
            inf_kwargs={"n_particles": n_particles},
            random_seed=1,
            progressbar=False,
            **options,
        )

        # Analyze particle distribution
        particles = approx.sample(5000, random_seed=1)

    # the components are so far apart that each has its own data, and a conjugate posterior
    for name, prior, data in [("mu1", -2, mixture_data[first]), ("mu2", 2, mixture_data[~first])]:
        precision = 1 + len(data) / 0.25
        mean = (prior + data.sum() / 0.25) / precision
        assert particles[name].mean() == pytest.approx(mean, abs=0.03)
        assert particles[name].std() == pytest.approx(precision**-0.5, rel=0.25)


def test_normalizing_flow(fit):
    skewed_data = np.array([1.0])

    # Normalizing flow for flexible approximation
    with vb.Model() as flow_model:
        # Skewed posterior
        x = vb.SkewNormal("x", mu=0, sigma=1, alpha=5)
        vb.Normal("y_obs", mu=x**2, sigma=0.5, observed=skewed_data)

        # Normalizing flow approximation
        approx = fit(n=25000, method="nfvi", inf_kwargs={"flow": "planar"}, random_seed=1)

        # Sample from flexible approximation
        trace_flow = approx.sample(2000, random_seed=1)

    # by quadrature
    grid = np.linspace(-3, 4, 20001)
    logp = stats.skewnorm(5).logpdf(grid)
    logp += stats.norm(grid[:, None] ** 2, 0.5).logpdf(skewed_data).sum(axis=1)
    np.testing.assert_allclose(logp[5000], flow_model.compile_logp()({"x": grid[5000]}))
    weights = np.exp(logp - logp.max())
    evidence = np.log(weights.sum() * (grid[1] - grid[0])) + logp.max()
    weights /= weights.sum()
    mean = (weights * grid).sum()
    std = (weights * (grid - mean) ** 2).sum() ** 0.5
    skewness = (weights * (grid - mean) ** 3).sum() / std**3
    assert skewness < -0.5
    # one planar flow of a standard normal is skewed too, but cannot become as narrow
    x = trace_flow["x"]
    assert x.mean() == pytest.approx(mean, abs=0.3 * std)
    assert x.std() == pytest.approx(std, rel=0.4)
    assert stats.skew(x) < -0.3
    loss = approx.hist[-len(approx.hist) // 5 :].mean()
    assert -evidence < loss < -evidence + 0.5


def test_custom_optimization_and_callbacks(fit, capsys):
    successes = 12
    n = 15000 if fit is vb.fit else 40_000  # the small one takes a fortieth of them

    # Custom optimization with monitoring
    def elbo_callback(approx, loss, i):
        """Custom callback for monitoring ELBO."""
        if i % 1000 == 0:
            print(f"Iteration {i}: ELBO = {loss:.2f}")

            # Custom diagnostics
            samples = approx.sample(100)
            mean_est = {var: samples[var].mean() for var in samples.varnames}
            print(f"Current estimates: {mean_est}")

    with vb.Model():
        theta = vb.Beta("theta", alpha=2, beta=3)
        vb.Binomial("y_obs", n=20, p=theta, observed=successes)

        # Custom ADVI with callbacks
        inference = vb.ADVI(random_seed=1)
        approx = fit(n=n, method=inference, callbacks=[elbo_callback])

    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if line.startswith(("Iteration", "Current"))]
    steps = len(approx.hist)
    assert len(shown) == 2 * (steps // 1000)
    assert shown[0] == f"Iteration 1000: ELBO = {approx.hist[999]:.2f}"
    assert shown[-2] == f"Iteration {steps}: ELBO = {approx.hist[-1]:.2f}"
    assert shown[-1].startswith("Current estimates: {'theta': ")
    # in closed form
    expected = stats.beta(2 + successes, 3 + 20 - successes)
    theta = approx.sample(5000, random_seed=1)["theta"]
    assert theta.mean() == pytest.approx(expected.mean(), abs=0.2 * expected.std())
    assert theta.std() == pytest.approx(expected.std(), rel=0.2)


def test_hierarchical(fit):
    rng = np.random.default_rng(5)
    n_groups = 10
    group_idx = np.repeat(np.arange(n_groups), 20)
    hierarchical_data = rng.normal(rng.normal(2, 1.5, size=n_groups)[group_idx], 1)

    # Hierarchical model with VI
    with vb.Model():
        # Hyperpriors
        mu_mu = vb.Normal("mu_mu", mu=0, sigma=10)
        sigma_mu = vb.HalfNormal("sigma_mu", sigma=5)

        # Group-level parameters
        group_mu = vb.Normal("group_mu", mu=mu_mu, sigma=sigma_mu, shape=n_groups)

        # Observations
        vb.Normal("y_obs", mu=group_mu[group_idx], sigma=1, observed=hierarchical_data)

        # Hierarchical ADVI
        approx = fit(n=25000, method="advi", random_seed=1)

        # Analyze group-level effects
        trace_hier = approx.sample(2000, random_seed=1)
        group_effects = trace_hier["group_mu"]

    means = group_effects.mean(axis=0)
    stds = group_effects.std(axis=0)
    # given the hyperparameters at about their estimates, in closed form
    of_data = np.array([hierarchical_data[group_idx == k].mean() for k in range(n_groups)])
    center, spread = trace_hier["mu_mu"].mean(), trace_hier["sigma_mu"].mean()
    precision = 20 + spread**-2
    np.testing.assert_allclose(
        means, (20 * of_data + center / spread**2) / precision, atol=0.4 * 20**-0.5
    )
    np.testing.assert_allclose(stds, precision**-0.5, rtol=0.2)
    assert center == pytest.approx(of_data.mean(), abs=0.5)
    assert spread == pytest.approx(of_data.std(), rel=0.4)


def test_model_comparison(fit):
    rng = np.random.default_rng(6)
    x_data = rng.normal(size=60)
    y_data = 1 + 2 * x_data - 1.5 * x_data**2 + rng.normal(0, 0.5, size=60)

    # Compare models using VI
    models = {}
    approx_results = {}

    # Model 1: Simple linear
    with vb.Model() as model1:
        alpha = vb.Normal("alpha", 0, 10)
        beta = vb.Normal("beta", 0, 10)
        sigma = vb.HalfNormal("sigma", 1)

        mu = alpha + beta * x_data
        vb.Normal("y_obs", mu=mu, sigma=sigma, observed=y_data)

        models["linear"] = model1
        approx_results["linear"] = fit(n=20000, random_seed=1)

    # Model 2: Quadratic
    with vb.Model() as model2:
        alpha = vb.Normal("alpha", 0, 10)
        beta1 = vb.Normal("beta1", 0, 10)
        beta2 = vb.Normal("beta2", 0, 10)
        sigma = vb.HalfNormal("sigma", 1)

        mu = alpha + beta1 * x_data + beta2 * x_data**2
        vb.Normal("y_obs", mu=mu, sigma=sigma, observed=y_data)

        models["quadratic"] = model2
        approx_results["quadratic"] = fit(n=20000, random_seed=1)

    # Compare ELBO values
    final = {}
    for name, approx in approx_results.items():
        final_elbo = approx.hist[-1]
        final[name] = float(f"{final_elbo:.2f}")
        assert approx.model is models[name]

    assert final["quadratic"] < final["linear"] - 20  # the loss: the negative ELBO
    samples = approx_results["quadratic"].sample(2000, random_seed=1)
    design = np.column_stack([np.ones(60), x_data, x_data**2])
    estimate = np.linalg.lstsq(design, y_data)[0]
    found = [samples[name].mean() for name in ("alpha", "beta1", "beta2")]
    np.testing.assert_allclose(found, estimate, atol=0.05)


def test_advanced_approximation_analysis(fit):
    obs_data = np.random.default_rng(7).normal(1, 0.7, size=40)

    # Detailed approximation analysis
    with vb.Model() as analysis_model:
        mu = vb.Normal("mu", mu=0, sigma=5)
        tau = vb.Gamma("tau", alpha=2, beta=1)
        vb.Normal("y_obs", mu=mu, tau=tau, observed=obs_data)

        # Fit approximation
        approx = fit(n=30000, method="fullrank_advi", random_seed=1)

        # Extract approximation parameters
        mean_params = approx.mean.eval()
        std_params = approx.std.eval()
        cov_params = approx.cov.eval()

        # Sample, to compare
        vi_samples = approx.sample(5000, random_seed=1)

    np.testing.assert_allclose(np.diag(cov_params), std_params**2)
    np.testing.assert_allclose(cov_params, cov_params.T)
    assert analysis_model.free_RVs == [mu, tau]
    # what the parameters say is what is drawn, in the unconstrained space
    drawn = np.column_stack([vi_samples["mu"], np.log(vi_samples["tau"])])
    errors = std_params / 5000**0.5
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - mean_params), 5 * errors)
    np.testing.assert_allclose(np.cov(drawn.T), cov_params, atol=0.1 * std_params.prod())
    # by quadrature
    m, log_t = np.meshgrid(np.linspace(0, 2, 401), np.linspace(-2, 3, 401), indexing="ij")
    t = np.exp(log_t)
    logp = stats.norm(0, 5).logpdf(m) + stats.gamma(2).logpdf(t) + log_t
    squares = ((obs_data[:, None, None] - m) ** 2).sum(axis=0)
    logp += 20 * log_t - t * squares / 2
    weights = np.exp(logp - logp.max())
    weights /= weights.sum()
    for found, values in zip(mean_params, (m, log_t), strict=True):
        mean = (weights * values).sum()
        std = (weights * (values - mean) ** 2).sum() ** 0.5
        assert found == pytest.approx(mean, abs=0.2 * std)
