"""Small PyMC models, one for each kind of thing that PyMC's users write, by name in ``KINDS``."""

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytensor
import pytensor.tensor as pt

KINDS = {}

rng = np.random.default_rng(8)
N = 24
X = rng.normal(size=N)
Y = 0.5 + X + 0.7 * rng.normal(size=N)
POSITIVE = np.exp(0.5 * Y)
COUNTS = rng.poisson(np.exp(0.3 + 0.4 * X))
COUNTS[:5] = 0
AMOUNTS = np.where(np.arange(N) < 6, 0.0, POSITIVE)
GROUP = np.arange(N) % 4
RING = np.roll(np.eye(6), 1, axis=1) + np.roll(np.eye(6), -1, axis=1)
STEPS = np.cumsum(0.3 * rng.normal(size=N))
TABLE = rng.multinomial(20, [0.2, 0.3, 0.5], size=5)
transforms = pm.distributions.transforms


def kind(function):
    """Add the model that a function writes inside of its ``with`` block."""

    def model():
        with pm.Model(coords={"k": range(2), "group": list("abcd"), "row": range(N)}) as made:
            function()
        return made

    KINDS[function.__name__] = model
    return function


# -- counts, and amounts of which many are zero ---------------------------------------------------


@kind
def zero_inflated_poisson():
    psi, mu = pm.Beta("psi", 2, 2), pm.Gamma("mu", 2, 1)
    pm.ZeroInflatedPoisson("y", psi, mu, observed=COUNTS)


@kind
def zero_inflated_binomial():
    psi, p = pm.Beta("psi", 2, 2), pm.Beta("p", 2, 2)
    pm.ZeroInflatedBinomial("y", psi=psi, n=10, p=p, observed=COUNTS)


@kind
def zero_inflated_negative_binomial():
    psi, a = pm.Beta("psi", 2, 2), pm.Normal("a", 0, 1)
    alpha = pm.Gamma("alpha", 4, 2)
    pm.ZeroInflatedNegativeBinomial("y", psi, pt.exp(a + 0.3 * X), alpha, observed=COUNTS)


@kind
def hurdle_poisson():
    pm.HurdlePoisson("y", pm.Beta("psi", 2, 2), pm.Gamma("mu", 3, 1), observed=COUNTS)


@kind
def hurdle_negative_binomial():
    psi, mu = pm.Beta("psi", 2, 2), pm.Gamma("mu", 3, 1, dims="group")
    alpha = pm.Gamma("alpha", 4, 2)
    pm.HurdleNegativeBinomial("y", psi, mu[GROUP], alpha, observed=COUNTS)


@kind
def hurdle_gamma():
    psi, alpha = pm.Beta("psi", 2, 2), pm.Gamma("alpha", 4, 2)
    pm.HurdleGamma("y", psi, alpha, pm.Gamma("beta", 4, 2), observed=AMOUNTS)


@kind
def hurdle_lognormal():
    psi, mu = pm.Beta("psi", 2, 2), pm.Normal("mu", 0, 1)
    pm.HurdleLogNormal("y", psi, mu, pm.HalfNormal("sigma", 1), observed=AMOUNTS)


@kind
def negative_binomial_with_exposure():
    exposure = pm.Data("exposure", np.linspace(0.5, 2, N), dims="row")
    a, b = pm.Normal("a", 0, 1), pm.Normal("b", 0, 0.5)
    mu = pm.Deterministic("mu", exposure * pt.exp(a + b * X), dims="row")
    pm.NegativeBinomial("y", mu=mu, alpha=pm.Exponential("alpha", 0.5), observed=COUNTS)


@kind
def beta_binomial():
    a, b = pm.Gamma("a", 3, 1), pm.Gamma("b", 3, 1)
    pm.BetaBinomial("y", alpha=a, beta=b, n=12, observed=COUNTS)


@kind
def discrete_weibull_and_geometric():
    q, beta = pm.Beta("q", 4, 2), pm.Gamma("beta", 6, 4)
    pm.DiscreteWeibull("y", q, beta, observed=COUNTS)
    pm.Geometric("z", pm.Beta("p", 2, 2), observed=COUNTS + 1)


# -- mixtures -------------------------------------------------------------------------------------


@kind
def normal_mixture_along_dims():
    w = pm.Dirichlet("w", np.ones(2), dims="k")
    ordered = {"transform": transforms.ordered, "initval": [-1.0, 1.0]}
    mu = pm.Normal("mu", 0, 3, dims="k", **ordered)
    pm.NormalMixture("y", w, mu, pm.HalfNormal("s", 1, dims="k"), observed=Y)


@kind
def normal_mixture_of_shapes():
    w = pm.Dirichlet("w", np.ones(2))
    mu = pm.Normal("mu", [-1, 1], 0.5, shape=2)
    pm.NormalMixture("y", w, mu, pm.HalfNormal("s", 1), observed=Y)


@kind
def mixture_of_different_distributions():
    w, mu = pm.Dirichlet("w", np.ones(2)), pm.Normal("mu", 0, 1)
    parts = [pm.Normal.dist(mu, 0.5), pm.StudentT.dist(nu=4, mu=mu, sigma=2)]
    pm.Mixture("y", w, parts, observed=Y)


@kind
def mixture_of_counts_by_row():
    p = pm.Beta("p", 2, 2, dims="group")
    rate = pm.Gamma("rate", [2, 12], [2, 3], shape=2)
    w = pt.stack([p, 1 - p], axis=-1)[GROUP]
    parts = [pm.Poisson.dist(rate[0], shape=N), pm.Poisson.dist(rate[1], shape=N)]
    pm.Mixture("y", w, parts, observed=COUNTS)


@kind
def mixture_of_vectors():
    w, mu = pm.Dirichlet("w", np.ones(2)), pm.Normal("mu", 0, 1, shape=2)
    parts = [pm.MvNormal.dist(mu, np.eye(2)), pm.MvNormal.dist(np.ones(2), 4 * np.eye(2))]
    pm.Mixture("y", w, parts, observed=np.c_[X, Y])


@kind
def stick_breaking():
    w = pm.StickBreakingWeights("w", alpha=2, K=3)
    mu = pm.Normal("mu", [-1, 0, 1], 0.3, shape=4 - 1)
    pm.NormalMixture("y", w[:3] / w[:3].sum(), mu, 0.5, observed=Y)


@kind
def dirichlet_process():
    alpha, beta = pm.Gamma("alpha", 2, 1), pm.Beta("beta", 1, 2, shape=4)
    left = pt.concatenate([[1.0], pt.cumprod(1 - beta)[:-1]])
    w = pm.Deterministic("w", beta * left / (beta * left).sum())
    pm.NormalMixture("y", w, np.linspace(-1, 2, 4), 0.3 + alpha, observed=Y)


@kind
def categories_summed_out():
    p = pm.Beta("p", 2, 2)
    rates = pm.Gamma("rates", [2, 20], [2, 4])
    weights = pt.stack([p, 1 - p])
    logs = pm.logp(pm.Poisson.dist(rates), COUNTS[:, None])
    pm.Potential("likelihood", pm.math.logsumexp(logs + pt.log(weights), axis=-1).sum())


# -- time series ----------------------------------------------------------------------------------


@kind
def autoregression_with_constant():
    rho = pm.Normal("rho", 0, 0.3, shape=3)
    init = pm.Normal.dist(0, 1, shape=2)
    pm.AR("y", rho, pm.HalfNormal("s", 1), constant=True, init_dist=init, observed=STEPS)


@kind
def latent_autoregression():
    rho, s = pm.Uniform("rho", -0.9, 0.9), pm.HalfNormal("s", 0.5)
    path = pm.AR("path", rho, s, init_dist=pm.Normal.dist(0, 1), steps=N - 1)
    pm.Poisson("y", pt.exp(path), observed=COUNTS)


@kind
def garch():
    omega = pm.Gamma("omega", 4, 4)
    a, b = pm.Beta("a", 2, 4), pm.Beta("b", 2, 4)
    pm.GARCH11("y", omega, a, b * (1 - a), initial_vol=1.0, observed=Y - Y.mean())


@kind
def stochastic_differential_equation():
    lam, s = pm.Normal("lam", 0, 0.5), pm.HalfNormal("s", 1)
    pm.EulerMaruyama(
        "y",
        dt=0.1,
        sde_fn=lambda x, lam, s: (lam * x, s),
        sde_pars=(lam, s),
        init_dist=pm.Normal.dist(0, 1),
        observed=STEPS,
    )


@kind
def random_walk_of_heavy_steps():
    s = pm.HalfNormal("s", 0.5)
    steps = pm.StudentT.dist(nu=5, mu=0, sigma=s)
    walk = pm.RandomWalk("walk", innovation_dist=steps, init_dist=pm.Normal.dist(0, 1), steps=N - 1)
    pm.Normal("y", walk, 0.3, observed=STEPS)


@kind
def random_walk_of_vectors():
    s = pm.HalfNormal("s", 0.5)
    init = pm.MvNormal.dist([0, 0], np.eye(2))
    pm.MvGaussianRandomWalk(
        "y", mu=[0, 0], cov=s**2 * pt.eye(2), init_dist=init, observed=np.c_[STEPS, STEPS[::-1]]
    )


@kind
def stochastic_volatility():
    step = pm.Exponential("step", 5)
    walk = pm.GaussianRandomWalk("walk", sigma=step, init_dist=pm.Normal.dist(0, 1), dims="row")
    nu = pm.Exponential("nu", 0.1)
    pm.StudentT("y", nu=nu + 1, lam=pt.exp(-2 * walk), observed=Y - Y.mean(), dims="row")


@kind
def growth_by_a_loop():
    r, s = pm.Beta("r", 2, 8), pm.HalfNormal("s", 0.5)
    begin = pt.constant(0.5, dtype="float64")
    path = pytensor.scan(
        lambda x, r: x + r * x * (1 - x / 3.0), outputs_info=begin, non_sequences=r,
        n_steps=N, return_updates=False,
    )  # fmt: skip
    pm.Normal("y", path, s, observed=np.linspace(0.5, 3, N))


@kind
def changepoint():
    tau, early, late = pm.Uniform("tau", 5, 20), pm.Exponential("early", 1), pm.Exponential("late")
    weight = pm.math.sigmoid(np.arange(N) - tau)
    pm.Poisson("y", early * (1 - weight) + late * weight, observed=COUNTS)


@kind
def adstock():
    alpha, b = pm.Beta("alpha", 2, 2), pm.HalfNormal("b", 1)
    weights = alpha ** np.arange(5)
    spend = np.abs(X)
    lags = np.stack([np.r_[np.zeros(lag), spend[: N - lag]] for lag in range(5)], axis=1)
    mu = b * pt.tanh(lags @ (weights / weights.sum()))
    pm.Normal("y", mu, pm.HalfNormal("s", 1), observed=Y)


# -- bounds ---------------------------------------------------------------------------------------


@kind
def truncated():
    mu, s = pm.Normal("mu", 0, 1), pm.HalfNormal("s", 1)
    pm.Truncated("y", pm.Normal.dist(mu, s), lower=-3, upper=4, observed=np.clip(Y, -2.9, 3.9))


@kind
def truncated_by_a_search_for_roots():
    mu = pm.Gamma("mu", 4, 2)
    pm.Truncated("y", pm.Gamma.dist(2.0, 1 / mu), lower=0.1, observed=POSITIVE + 0.1)


@kind
def truncated_counts():
    pm.Truncated("y", pm.Poisson.dist(pm.Gamma("mu", 4, 2)), lower=1, observed=COUNTS + 1)


@kind
def censored_survival():
    a, b = pm.Normal("a", 0, 1), pm.Normal("b", 0, 0.5)
    times = pm.Weibull.dist(alpha=1.5, beta=pt.exp(a + b * X))
    pm.Censored("y", times, lower=None, upper=1.5, observed=np.clip(POSITIVE, None, 1.5))


@kind
def survival_by_a_potential():
    rate = pm.Gamma("rate", 2, 1)
    late = POSITIVE > 1.5
    pm.Exponential("y", rate, observed=POSITIVE[~late])
    pm.Potential("later", -rate * 1.5 * late.sum())


@kind
def bounds_that_are_variables():
    low = pm.Normal("low", -2, 0.5)
    high = pm.Deterministic("high", low + pm.HalfNormal("width", 2))
    pm.Uniform("inside", low, high, shape=3)
    pm.TruncatedNormal("t", 0, 1, lower=low)


# -- categories and tables ------------------------------------------------------------------------


@kind
def dirichlet_multinomial():
    fractions = pm.Dirichlet("fractions", np.ones(3))
    pm.DirichletMultinomial("y", n=20, a=fractions * pm.LogNormal("conc", 1, 1), observed=TABLE)


@kind
def multinomial_logits():
    logits = pm.Normal("logits", 0, 1, shape=3)
    pm.Multinomial("y", n=20, p=pm.math.softmax(logits), observed=TABLE)


@kind
def categorical_regression():
    b = pm.ZeroSumNormal("b", sigma=1, shape=(2, 3))
    p = pm.math.softmax(b[0] + b[1] * X[:, None], axis=-1)
    pm.Categorical("y", p=p, observed=GROUP % 3)


@kind
def ordered_probit():
    cuts = pm.Normal("low", -1, 1) + pt.stack([0.0, pm.HalfNormal("width", 2)])
    pm.OrderedProbit("y", eta=pm.Normal("b") * X, cutpoints=cuts, observed=GROUP % 3)


@kind
def ordered_multinomial():
    cuts = pm.Normal("low", -1, 1) + pt.stack([0.0, pm.HalfNormal("width", 2)])
    pm.OrderedMultinomial("y", eta=pm.Normal("eta"), cutpoints=cuts, n=20, observed=TABLE)


@kind
def item_response():
    ability = pm.Normal("ability", 0, 1, shape=6)
    hard, slope = pm.Normal("hard", 0, 1, shape=4), pm.LogNormal("slope", 0, 0.3, shape=4)
    person, item = np.divmod(np.arange(N), 4)
    logit = slope[item] * (ability[person] - hard[item])
    pm.Bernoulli("y", logit_p=logit, observed=(Y > 0.5).astype(int))


# -- areas, processes and matrices ----------------------------------------------------------------


@kind
def areas():
    alpha, tau = pm.Beta("alpha", 2, 2), pm.Gamma("tau", 20, 10)
    phi = pm.CAR("phi", mu=np.zeros(6), W=RING, alpha=alpha, tau=tau)
    pm.Poisson("y", pt.exp(0.3 + phi), observed=COUNTS[-6:])


@kind
def areas_observed():
    alpha, tau = pm.Uniform("alpha", 0, 1), pm.Gamma("tau", 2, 2)
    pm.CAR("y", mu=np.zeros(6), W=pt.as_tensor(RING), alpha=alpha, tau=tau, observed=Y[:6])


@kind
def intrinsic_areas():
    phi = pm.ICAR("phi", W=RING, sigma=pm.HalfNormal("s", 1))
    pm.Normal("y", phi, 0.5, observed=Y[:6])


@kind
def kronecker_of_multiples_of_the_identity():
    covs = [pt.as_tensor([[1, 0.3], [0.3, 1]]), pm.HalfNormal("l", 1) * pt.eye(3)]
    pm.KroneckerNormal("y", mu=np.zeros(6), covs=covs, sigma=pm.HalfNormal("s", 1), observed=Y[:6])


@kind
def matrix_normal():
    s = pm.HalfNormal("s", 1)
    rows, columns = s**2 * pt.eye(4), np.array([[1, 0.4], [0.4, 1]])
    pm.MatrixNormal(
        "y", np.zeros((4, 2)), rowcov=rows, colcov=columns, observed=Y[:8].reshape(4, 2)
    )


@kind
def correlated_effects():
    sd = pm.Exponential.dist(1)
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=sd)
    b = pm.Normal("b", 0, 1, shape=(2, 4))
    effects = pm.Deterministic("effects", (chol @ b).T)
    mu = effects[GROUP, 0] + effects[GROUP, 1] * X
    pm.Normal("y", mu, pm.HalfNormal("s", 1), observed=Y)


@kind
def heavy_tailed_vectors():
    mu = pm.Normal("mu", 0, 1, shape=2)
    pm.MvStudentT("y", nu=5, mu=mu, scale=np.eye(2), observed=np.c_[X, Y])


@kind
def factors():
    packed = pm.Normal("packed", 0, 1, shape=3)
    loadings = pm.math.expand_packed_triangular(2, packed, lower=True)
    pm.MvNormal("y", np.zeros(2), loadings @ loadings.T + np.eye(2), observed=np.c_[X, Y])


@kind
def latent_process():
    length, eta = pm.InverseGamma("length", 5, 5), pm.HalfNormal("eta", 1)
    gp = pm.gp.Latent(cov_func=eta**2 * pm.gp.cov.Matern52(1, length))
    pm.Poisson("y", pt.exp(gp.prior("f", X=X[:8, None])), observed=COUNTS[:8])


@kind
def marginal_process():
    gp = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, pm.InverseGamma("length", 5, 5)))
    gp.marginal_likelihood("y", X=X[:8, None], y=Y[:8], sigma=pm.HalfNormal("s", 1))


@kind
def hilbert_space_process():
    gp = pm.gp.HSGP(m=[6], c=2.0, cov_func=pm.gp.cov.ExpQuad(1, pm.InverseGamma("length", 5, 5)))
    pm.Normal("y", gp.prior("f", X=X[:, None]), 0.5, observed=Y)


@kind
def marginal_process_on_a_grid():
    covs = [pm.gp.cov.ExpQuad(1, pm.InverseGamma(f"length_{i}", 5, 5)) for i in range(2)]
    gp = pm.gp.MarginalKron(cov_funcs=covs)
    grid = [np.arange(3.0)[:, None], np.arange(2.0)[:, None]]
    gp.marginal_likelihood("y", Xs=grid, y=Y[:6], sigma=pm.HalfNormal("s", 1))


# -- regressions ----------------------------------------------------------------------------------


@kind
def horseshoe():
    tau, lam = pm.HalfCauchy("tau", 0.1), pm.HalfCauchy("lam", 1, shape=3)
    b = pm.Normal("b", 0, 1, shape=3) * lam * tau
    pm.Normal("y", np.c_[X, X**2, np.sin(X)] @ b, pm.HalfNormal("s", 1), observed=Y)


@kind
def hierarchy_along_dims():
    loc, scale = pm.Normal("loc", 0, 1), pm.HalfNormal("scale", 1)
    effect = pm.Normal("effect", loc, scale, dims="group")
    group = pm.Data("g", GROUP, dims="row")
    pm.Normal("y", effect[group], pm.HalfNormal("s", 1), observed=Y, dims="row")


@kind
def zero_sum_effects():
    effect = pm.ZeroSumNormal("effect", sigma=pm.HalfNormal("scale", 1), dims="group")
    pm.Normal("y", effect[GROUP], pm.HalfNormal("s", 1), observed=Y)


@kind
def robust_and_skewed():
    mu, s = pm.Normal("mu", 0, 1), pm.HalfNormal("s", 1)
    pm.StudentT("t", nu=pm.Gamma("nu", 2, 0.1), mu=mu, sigma=s, observed=Y)
    pm.AsymmetricLaplace("a", kappa=1.2, mu=mu, b=s, observed=Y)
    pm.SkewNormal("n", mu=mu, sigma=s, alpha=pm.Normal("alpha"), observed=Y)
    pm.ExGaussian("g", mu=mu, sigma=s, nu=1.0, observed=Y)


@kind
def angles():
    mu, kappa = pm.VonMises("mu", 0, 1), pm.Gamma("kappa", 2, 1)
    pm.VonMises("y", mu, kappa, observed=np.clip(Y, -3, 3))


@kind
def fractions():
    b = pm.Normal("b", 0, 1)
    pm.Beta("y", mu=pm.math.sigmoid(b * X), nu=5, observed=1 / (1 + np.exp(-Y)))
    pm.Kumaraswamy("z", a=pm.Gamma("a", 3, 2), b=2, observed=1 / (1 + np.exp(-Y)))
    pm.LogitNormal("w", b, 1, observed=1 / (1 + np.exp(-Y)))


@kind
def interpolated_prior():
    grid = np.linspace(-3, 3, 50)
    mu = pm.Interpolated("mu", grid, np.exp(-0.5 * grid**2))
    pm.Normal("y", mu, 1, observed=Y)


@kind
def missing_rows():
    mu = pm.Normal("mu", 0, 1)
    pm.Normal("y", mu, 1, observed=np.where(np.arange(N) == 3, np.nan, Y))


@kind
def density_without_draws():
    mu = pm.Normal("mu", 0, 1)
    pm.CustomDist("y", mu, logp=lambda value, mu: -pt.abs(value - mu), observed=Y)


@kind
def density_with_draws():
    def draw(mu, rng=None, size=None):
        return rng.laplace(mu, 1, size=size)

    mu = pm.Normal("mu", 0, 1)
    pm.CustomDist("y", mu, logp=lambda value, mu: -pt.abs(value - mu), random=draw, observed=Y)


@kind
def distribution_of_a_function():
    def shifted(mu, s, size):
        return mu + pm.Exponential.dist(1 / s, size=size)

    mu, s = pm.Normal("mu", -2, 1), pm.HalfNormal("s", 1)
    pm.CustomDist("y", mu, s, dist=shifted, observed=Y + 3)


@kind
def nested_models():
    with pm.Model("inner"):
        a = pm.Normal("a", 0, 1)
    pm.Normal("y", a + pm.Normal("b", 0, 1) * X, 1, observed=Y)


@kind
def improper_priors():
    mu, s = pm.Flat("mu"), pm.HalfFlat("s")
    pm.Normal("y", mu, s, observed=Y)


@kind
def minibatches():
    x, y = pm.Minibatch(X, Y, batch_size=8)
    b, s = pm.Normal("b", 0, 1), pm.HalfNormal("s", 1)
    pm.Normal("y", b * x, s, observed=y, total_size=N)


# -- axes with names ------------------------------------------------------------------------------


@kind
def named_regression():
    x = pmd.Data("x", X, dims="row")
    a, b = pmd.Normal("a", 0, 1), pmd.Normal("b", 0, 1)
    mu = pmd.Deterministic("mu", a + b * x)
    pmd.Normal("y", mu, pmd.HalfNormal("s", 1), observed=pmd.as_xtensor(Y, dims="row"))


@kind
def named_hierarchy():
    loc, scale = pmd.Normal("loc", 0, 1, dims="k"), pmd.Gamma("scale", 2, 2)
    effect = pmd.Normal("effect", loc, scale, dims=("group", "k"))
    data = pmd.as_xtensor(rng.normal(size=(2, 4)), dims=("k", "group"))
    pmd.Normal("y", effect, 1, observed=data)


@kind
def named_simplex():
    a = pmd.as_xtensor(np.ones(4), dims="group")
    p = pmd.Dirichlet("p", a, core_dims="group")
    pmd.Categorical(
        "y", p=p, core_dims="group", dims="row", observed=pmd.as_xtensor(GROUP, dims="row")
    )


@kind
def named_zero_sum():
    effect = pmd.ZeroSumNormal("effect", core_dims="group")
    pmd.Potential("extra", -(effect**2).sum())
    mu = effect.isel(group=pmd.as_xtensor(GROUP, dims="row"))
    pmd.Normal("y", mu, pmd.Exponential("s", 1), observed=pmd.as_xtensor(Y, dims="row"))


@kind
def named_vectors():
    cov = pmd.as_xtensor(np.eye(4) + 0.5, dims=("group", "other"))
    mu = pmd.Normal("mu", 0, 1, dims="group")
    pmd.MvNormal(
        "y", mu, cov, core_dims=("group", "other"), dims=("k", "group"),
        observed=pmd.as_xtensor(rng.normal(size=(2, 4)), dims=("k", "group")),
    )  # fmt: skip


@kind
def named_bounds():
    dist = pmd.Normal.dist(pmd.Uniform("mu", -2, 2), pmd.HalfNormal("s", 1))
    low = np.clip(Y, 0, None)
    pmd.Censored("y", dist, lower=0, upper=np.inf, observed=pmd.as_xtensor(low, dims="row"))


@kind
def named_and_plain():
    b = pm.Normal("b", 0, 1, dims="group")
    named = pmd.as_xtensor(b, dims="group") * pmd.LogNormal("scale", 0, 1, dims="k")
    total = pm.Deterministic("total", named.transpose("k", "group").values.sum(axis=0))
    pm.Normal("y", total[GROUP], pm.HalfNormal("s", 1), observed=Y)
