"""PyMC models of different kinds, each made by a function of its name."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

rng = np.random.default_rng(20)
X = rng.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.7 + 0.5 * rng.normal(size=60)
GROUP = rng.integers(0, 4, size=60)


def regression():
    with pm.Model(coords={"feature": ["a", "b", "c"], "row": range(60)}) as model:
        x = pm.Data("x", X, dims=("row", "feature"))
        intercept = pm.Normal("intercept", 0, 5)
        beta = pm.Normal("beta", 0, 5, dims="feature")
        sigma = pm.HalfNormal("sigma", 2)
        mu = pm.Deterministic("mu", intercept + x @ beta, dims="row")
        pm.Normal("y", mu, sigma, observed=Y, dims="row")
    return model


def non_centred():
    with pm.Model(coords={"group": list("abcd")}) as model:
        loc, scale = pm.Normal("loc", 0, 5), pm.HalfCauchy("scale", 1)
        raw = pm.Normal("raw", dims="group")
        effect = pm.Deterministic("effect", loc + scale * raw, dims="group")
        sigma = pm.Exponential("sigma", 1)
        pm.StudentT("y", nu=5, mu=effect[GROUP], sigma=sigma, observed=Y)
    return model


def centred():
    with pm.Model() as model:
        loc, scale = pm.Normal("loc", 0, 5), pm.HalfNormal("scale", 1)
        effect = pm.Normal("effect", loc, scale, shape=4)
        pm.Normal("y", effect[GROUP], 1, observed=Y)
    return model


def mixture():
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(3))
        mu = pm.Normal("mu", [-2, 0, 2], 2, transform=pm.distributions.transforms.ordered)
        sigma = pm.InverseGamma("sigma", 3, 2, shape=3)
        pm.NormalMixture("y", w, mu, sigma, observed=Y)
    return model


def components():
    with pm.Model() as model:
        w = pm.Beta("w", 2, 2)
        rate = pm.Gamma("rate", 2, 1, shape=2)
        parts = pm.Poisson.dist(rate, shape=2)
        pm.Mixture("y", pt.stack([w, 1 - w]), parts, observed=rng.poisson(2, 30))
    return model


def covariance():
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1))
        mu = pm.Normal("mu", 0, 2, shape=3)
        pm.MvNormal("y", mu, chol=chol, observed=X)
    return model


def ordered_logistic():
    with pm.Model() as model:
        cut = pm.Normal(
            "cut", 0, 2, shape=2, initval=[-1, 1], transform=pm.distributions.transforms.ordered
        )
        beta = pm.Laplace("beta", 0, 1)
        pm.OrderedLogistic("y", eta=beta * X[:, 0], cutpoints=cut, observed=rng.integers(0, 3, 60))
    return model


def logistic():
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=3)
        pm.Bernoulli("y", logit_p=X @ beta, observed=(Y > 0).astype(int))
    return model


def gaussian_process():
    with pm.Model() as model:
        length, eta = pm.InverseGamma("length", 5, 5), pm.HalfNormal("eta", 2)
        gp = pm.gp.Marginal(cov_func=eta**2 * pm.gp.cov.ExpQuad(1, length))
        gp.marginal_likelihood("y", X=X[:25, :1], y=Y[:25], sigma=pm.HalfNormal("sigma", 1))
    return model


def latent_gaussian_process():
    with pm.Model() as model:
        length = pm.Gamma("length", 3, 3)
        f = pm.gp.Latent(cov_func=pm.gp.cov.Matern52(1, length)).prior("f", X=X[:10, :1])
        pm.Poisson("y", pt.exp(f), observed=rng.poisson(1, 10))
    return model


def autoregression():
    with pm.Model() as model:
        rho = pm.Uniform("rho", -1, 1, shape=2)
        pm.AR("y", rho, sigma=pm.HalfNormal("sigma", 1), init_dist=pm.Normal.dist(0, 5), observed=Y)
    return model


def random_walk():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 0.5)
        walk = pm.GaussianRandomWalk("walk", sigma=scale, init_dist=pm.Normal.dist(0, 1), shape=20)
        pm.NegativeBinomial("y", pt.exp(walk), 3.0, observed=rng.poisson(2, 20))
    return model


def truncated_censored():
    with pm.Model() as model:
        mu = pm.TruncatedNormal("mu", 0, 2, lower=-1)
        low = pm.Normal("low", -5, 1)
        between = pm.Uniform("between", low, 3)  # bounds that are variables
        pm.Truncated("t", pm.Normal.dist(mu, 2), lower=-3, observed=np.clip(Y[:20], -2.9, None))
        cens = pm.Normal.dist(between, 2)
        pm.Censored("c", cens, lower=-1, upper=2, observed=np.clip(Y, -1, 2))
    return model


def multinomial():
    with pm.Model(coords={"kind": ["u", "v", "w"]}) as model:
        p = pm.Dirichlet("p", np.array([1.0, 2.0, 3.0]), dims="kind")
        concentration = pm.Pareto("concentration", 2, 1)
        pm.Multinomial("y", n=50, p=p, observed=rng.multinomial(50, [0.2, 0.3, 0.5], size=4))
        pm.DirichletMultinomial(
            "z", n=20, a=p * concentration, observed=rng.multinomial(20, [0.2, 0.3, 0.5])
        )
    return model


def minibatch():
    x, y = pm.Minibatch(X, Y, batch_size=20)
    with pm.Model() as model:
        beta, sigma = pm.Normal("beta", 0, 5, shape=3), pm.HalfNormal("sigma", 1)
        pm.Normal("y", x @ beta, sigma, observed=y, total_size=len(Y))
    return model


def missing():
    y = Y.copy()
    y[[3, 10]] = np.nan
    with pm.Model() as model:
        mu, sigma = pm.Normal("mu", 0, 5), pm.HalfNormal("sigma", 2)
        pm.LogNormal("y", mu, sigma, observed=np.exp(y))
    return model


def potential():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 10, shape=2)
        scale = pm.HalfFlat("scale")
        pm.Potential("banana", -0.5 * (x[1] - x[0] ** 2) ** 2 - scale * x[0] ** 2)
        pm.Potential("penalty", -scale)
    return model


def custom():
    def logp(value, mu, b):
        return -pt.abs(value - mu) / b - pt.log(2 * b)

    def walk(mu, size):
        return mu + pm.Normal.dist(0, 0.5, size=size).cumsum()

    with pm.Model() as model:
        mu, b = pm.Normal("mu", 0, 3), pm.HalfNormal("b", 1)
        pm.CustomDist("y", mu, b, logp=logp, observed=Y)
        pm.CustomDist("z", mu, dist=walk, observed=Y[:15])
    return model


def zoo_of_transforms():
    transforms = pm.distributions.transforms
    with pm.Model() as model:
        pm.VonMises("angle", 0, 2)
        pm.ZeroSumNormal("zero_sum", sigma=2, shape=5)
        pm.StickBreakingWeights("sticks", alpha=2, K=3)
        pm.Weibull("weibull", 2, 1, default_transform=transforms.log_exp_m1)
        chained = transforms.Chain([transforms.log, transforms.ordered])
        pm.HalfNormal("chained", 1, shape=3, initval=[0.5, 1.0, 2.0], default_transform=chained)
        pm.Triangular("triangular", lower=-1, c=0, upper=2)
        pm.LKJCorr("corr", n=3, eta=2)
    return model


MODELS = {
    f.__name__: f
    for f in (
        regression,
        non_centred,
        centred,
        mixture,
        components,
        covariance,
        ordered_logistic,
        logistic,
        gaussian_process,
        latent_gaussian_process,
        autoregression,
        random_walk,
        truncated_censored,
        multinomial,
        minibatch,
        missing,
        potential,
        custom,
        zoo_of_transforms,
    )
}
