import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE
from scipy import stats

import vibayes as vb
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ModelError, ShapeError
from vibayes.families.full_rank import FullRankGroup
from vibayes.families.known import FAMILIES
from vibayes.families.low_rank import LowRankGroup
from vibayes.families.mean_field import MeanFieldGroup

RATE = pytensor.shared(np.array(0.0), name="rate", shape=())
ADAM = vb.adam(learning_rate=RATE)  # one compilation for all rates


@pytest.fixture
def model():
    with vb.Model() as model:
        x = vb.Normal("x", shape=2)
        s = vb.HalfNormal("s", 1)
        vb.Normal("w", shape=(2, 2))
        vb.Deterministic("twice", 2 * x)
        vb.Normal("y", x, s, observed=[1.0, 2.0])
    return model


# -- which family ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vfam", "family"),
    [
        ("mean_field", MeanFieldGroup),
        ("mf", MeanFieldGroup),
        ("full_rank", FullRankGroup),
        ("fr", FullRankGroup),
        ("FR", FullRankGroup),
        ("low_rank", LowRankGroup),
        ("lr", LowRankGroup),
    ],
)
def test_family_by_name(model, vfam, family):
    group = vb.Group([model["x"]], vfam=vfam, model=model)
    assert type(group) is family
    assert vb.Group.families()[vfam.lower()] is family
    assert group.ddim == 2
    assert group.variables == [model["x"]]


def test_positional_arguments_and_the_model_of_the_context(model):
    with model:
        group = vb.Group([model["s"]], "fr")
    assert type(group) is FullRankGroup
    assert group.model is model


@pytest.mark.parametrize(
    ("params", "family"),
    [
        ({"mu": np.zeros(2), "rho": np.zeros(2)}, MeanFieldGroup),
        ({"mu": np.zeros(2), "L_tril": np.array([1.0, 2.0, 3.0])}, FullRankGroup),
        ({"mu": np.zeros(2), "rho": np.zeros(2), "B": np.ones((2, 1))}, LowRankGroup),
    ],
)
def test_family_by_parameters(model, params, family):
    group = vb.Group([model["x"]], params=params, model=model)
    assert type(group) is family
    assert group.shared_params == {}
    assert group.params == []
    assert set(group.params_dict) == set(params)


def test_a_subclass_needs_no_name(model):
    assert type(FullRankGroup([model["x"]], model=model)) is FullRankGroup


@pytest.mark.parametrize("vfam", ["fullrank", "", "mean field"])
def test_unknown_family(model, vfam):
    with pytest.raises(ValueError, match=r"is unknown; known are .*fr, full_rank"):
        vb.Group([model["x"]], vfam=vfam, model=model)


def test_neither_family_nor_parameters(model):
    with pytest.raises(ValueError, match=r"give vfam .* or params"):
        vb.Group([model["x"]], model=model)


def test_parameters_of_no_family(model):
    with pytest.raises(ValueError, match=r"no family has the parameters \['mu', 'tau'\]"):
        vb.Group([model["x"]], params={"mu": np.zeros(2), "tau": np.zeros(2)}, model=model)


def test_parameters_of_another_family(model):
    with pytest.raises(ValueError, match=r"FullRankGroup has the parameters \['L_tril', 'mu'\]"):
        vb.Group([model["x"]], "fr", {"mu": np.zeros(2), "rho": np.zeros(2)}, model=model)


@pytest.mark.parametrize(
    "params",
    [
        {"mu": np.zeros(2), "L_tril": np.ones(4)},
        {"mu": np.zeros(3), "L_tril": np.ones(3)},
        {"mu": np.zeros(2), "L_tril": np.ones((2, 2))},
    ],
)
def test_parameters_of_the_wrong_shape(model, params):
    with pytest.raises(ShapeError, match=r"of FullRankGroup must have shape \((2|3),\), got"):
        vb.Group([model["x"]], params=params, model=model)


def test_a_class_of_the_user_is_known_at_once(model):
    class PointGroup(vb.Group):
        short_name = "test_point"
        aliases = ("tp",)
        param_names = frozenset({"centre"})

        def param_shapes(self):
            return {"centre": (self.ddim,)}

        def initial_params(self, start, sigma):
            return {"centre": start}

        def transform(self, noise):
            return self.params_dict["centre"] + 0 * noise

    class Point(SingleGroupApproximation):
        family = PointGroup

    try:
        assert type(vb.Group([model["x"]], vfam="tp", model=model)) is PointGroup
        approx = Point(model=model, start={"x": [1.0, 2.0]})
        drawn = approx.sample(3, random_seed=1).posterior["x"].values
        np.testing.assert_array_equal(drawn, np.tile([1.0, 2.0], (1, 3, 1)))
        for name in ("mean", "std", "cov"):
            with pytest.raises(NotImplementedError, match=f"PointGroup has no {name} in closed"):
                getattr(approx, name)
    finally:
        FAMILIES.remove(PointGroup)


# -- which variables ------------------------------------------------------------------------------


def test_all_the_rest(model):
    first = vb.Group([model["s"]], vfam="fr", model=model)
    rest = vb.Group(None, vfam="mf", model=model)
    approx = vb.Approximation([first, rest], model=model)
    assert rest.variables == [model["x"], model["w"]]
    assert approx.ddim == approx.ndim == 7
    assert [set(p) for p in approx.shared_params] == [{"mu", "L_tril"}, {"mu", "rho"}]
    assert len(approx.params) == 4
    assert "FullRankGroup(s) & MeanFieldGroup(x, w), 7 dimensions" in repr(approx)


def test_a_variable_in_two_groups(model):
    groups = [vb.Group([model[n] for n in names], "mf", model=model) for names in ("xs", "sw")]
    with pytest.raises(ModelError, match="'s' belongs to two groups"):
        vb.Approximation(groups, model=model)


def test_a_variable_twice_in_a_group(model):
    group = vb.Group([model["x"], model["x"]], "mf", model=model)
    with pytest.raises(ModelError, match=r"'x' belongs to two groups|twice"):
        vb.Approximation([group, vb.Group(None, "mf", model=model)], model=model)


def test_a_variable_in_no_group(model):
    with pytest.raises(ModelError, match="No group holds 's', 'w'"):
        vb.Approximation([vb.Group([model["x"]], "fr", model=model)], model=model)


def test_an_empty_group(model):
    with pytest.raises(ModelError, match="at least one variable"):
        vb.Group([], vfam="fr", model=model)


def test_nothing_is_left_for_the_rest(model):
    groups = [vb.Group(model.free_RVs, "mf", model=model), vb.Group(None, "mf", model=model)]
    with pytest.raises(ModelError, match="No variables are left"):
        vb.Approximation(groups, model=model)


def test_two_groups_for_the_rest(model):
    groups = [vb.Group(None, vfam, model=model) for vfam in ("mf", "fr")]
    with pytest.raises(ModelError, match="Only one group"):
        vb.Approximation(groups, model=model)


@pytest.mark.parametrize("name", ["y", "twice"])
def test_observed_and_deterministic_variables(model, name):
    with pytest.raises(ModelError, match=f"'{name}' is not a free random variable"):
        vb.Group([model[name]], vfam="fr", model=model)


def test_discrete_variables():
    with vb.Model() as model:
        vb.Normal("x")
        k = vb.Poisson("k", 2)
    with pytest.raises(ModelError, match="'k' is discrete"):
        vb.Group([k], vfam="fr", model=model)
    with pytest.raises(ModelError, match="'k' is discrete"):
        FullRank(model=model)


# -- where to start -------------------------------------------------------------------------------


@pytest.mark.parametrize("vfam", ["mf", "fr", "lr"])
def test_start_of_a_group(model, vfam):
    group = vb.Group(
        [model["s"], model["x"]],
        vfam,
        model=model,
        start={"s": 2.0, "x": [5.0, 6.0]},
        start_sigma={"x": [0.1, 0.2]},
    )
    mean, std = evaluate([group.mean, group.std])
    np.testing.assert_allclose(mean, [np.log(2), 5, 6])
    np.testing.assert_allclose(std, [np.log(2), 0.1, 0.2])


@pytest.mark.parametrize(
    ("sigma", "error", "message"),
    [
        ({"x": -1.0}, ValueError, "must be positive"),
        ({"x": np.nan}, ValueError, "must be positive"),
        ({"x": np.ones(3)}, ShapeError, r"has shape \(3,\), the unconstrained variable \(2,\)"),
        ({"s": 1.0}, KeyError, "no variable 's'"),
    ],
)
def test_wrong_start_sigma(model, sigma, error, message):
    with pytest.raises(error, match=message):
        vb.Group([model["x"]], "fr", model=model, start_sigma=sigma)


# -- several groups together ----------------------------------------------------------------------


def test_logq_is_the_sum_over_groups(model):
    approx = vb.Approximation(
        [vb.Group([model["x"]], "fr", model=model), vb.Group(None, "mf", model=model)],
        model=model,
    )
    approx.groups[0].shared_params["L_tril"].set_value(np.array([1.0, -2.0, 0.5]))
    drawn, _ = approx.draw(5)
    x, s, w, logq = evaluate([*(drawn.z[model.rvs_to_values[model[n]]] for n in "xsw"), drawn.logq])
    assert (x.shape, s.shape, w.shape) == ((5, 2), (5,), (5, 2, 2))
    L = np.array([[1.0, 0.0], [-2.0, 0.5]])
    rest = np.column_stack([s, w.reshape(5, 4)])
    mean = approx.groups[1].mean.eval()
    expected = stats.multivariate_normal(np.zeros(2), L @ L.T).logpdf(x)
    expected += stats.norm(mean, np.log(2)).logpdf(rest).sum(axis=1)
    np.testing.assert_allclose(logq, expected)


def test_groups_draw_independent_noise(model):
    groups = [vb.Group([v], "mf", model=model) for v in model.free_RVs]
    approx = vb.Approximation(groups, model=model, random_seed=1)
    posterior = approx.sample(2000, random_seed=1).posterior
    s = np.log(posterior["s"].values[0])
    for other in (posterior["x"].values[0, :, 0], posterior["w"].values[0, :, 1, 1]):
        assert abs(np.corrcoef(s, other)[0, 1]) < 0.09  # four standard errors


def test_key_tells_what_compiled_functions_can_be_shared(model):
    def key(vfam, names="x", **kwargs):
        return vb.Group([model[n] for n in names], vfam, model=model, **kwargs).key

    assert key("fr") == key("full_rank", start={"x": [1.0, 2.0]})
    assert key("fr") != key("mf")
    assert key("fr") != key("fr", names="w")
    assert key("lr", options={"rank": 1}) != key("lr", options={"rank": 2})


def test_groups_of_different_families_fit_together():
    """The full-rank group finds the correlation that is there, the other variable its own sd."""
    cov = np.array([[2.0, 1.2], [1.2, 1.0]])
    with vb.Model() as model:
        x = vb.MvNormal("x", [1.0, -1.0], cov=cov)
        vb.Normal("z", 3, 0.5)
    approx = vb.Approximation(
        [vb.Group([x], vfam="fr", model=model), vb.Group(None, vfam="mf", model=model)],
        model=model,
        random_seed=1,
    )
    inference = vb.KLqp(approx)
    for rate in (0.05, 0.005, 0.0005):
        RATE.set_value(rate)
        inference.fit(1000, obj_n_mc=5, obj_optimizer=ADAM, backend=LANE, progressbar=False)
    first, second = approx.groups
    got, mean, z_mean, z_std = evaluate([first.cov, first.mean, second.mean, second.std])
    np.testing.assert_allclose(got, cov, rtol=0.1)
    np.testing.assert_allclose(mean, [1, -1], atol=0.1)
    np.testing.assert_allclose([z_mean[0], z_std[0]], [3, 0.5], atol=0.05)
    # the family holds this posterior, whose evidence is 1
    assert inference.hist[-500:].mean() == pytest.approx(0, abs=0.02)


def test_parameters_of_the_user_are_trained_when_they_are_named():
    """One number is the mean of both x: the best one lies in the middle."""
    with vb.Model() as model:
        x = vb.Normal("x", [1.0, 3.0], 1.0, shape=2)
    centre = pytensor.shared(np.array(0.0), name="centre")
    params = {"mu": pt.stack([centre, centre]), "L_tril": np.array([1.0, 0.0, 1.0])}
    group = vb.Group([x], params=params, model=model)
    inference = vb.KLqp(vb.Approximation([group], model=model, random_seed=1))
    options = dict(obj_n_mc=10, more_obj_params=[centre], backend=LANE, progressbar=False)
    for rate in (0.05, 0.005, 0.0005):
        RATE.set_value(rate)
        inference.fit(1000, obj_optimizer=ADAM, **options)
    assert centre.get_value() == pytest.approx(2, abs=0.05)


# -- what a class says of itself ------------------------------------------------------------------


class Uniform(vb.Group):
    """Uniform about a centre, of a width that no option declares."""

    param_names = frozenset({"mu"})

    def __init__(self, *args, width=1.0, **kwargs):
        self.width = width
        super().__init__(*args, **kwargs)

    def param_shapes(self):
        return {"mu": (self.ddim,)}

    def initial_params(self, start, sigma):
        return {"mu": start}

    def transform(self, noise):
        return self.params_dict["mu"] + self.width * (pt.sigmoid(noise) - 0.5)

    def log_density(self, noise, z):
        return pt.zeros(z.shape[:-1]) - self.ddim * np.log(self.width)


class DeclaredUniform(Uniform):
    """The same, its width an option."""

    option_names = frozenset({"width"})

    def __init__(self, *args, **kwargs):
        vb.Group.__init__(self, *args, **kwargs)

    @property
    def width(self):
        return self.options.get("width", 1.0)


def test_an_attribute_that_is_not_declared_shares_nothing(model):
    wide, narrow = (
        vb.Approximation([Uniform(None, model=model, width=w)], model=model, random_seed=1)
        for w in (100.0, 0.01)
    )
    fits = [
        vb.KLqp(approx).fit(3, progressbar=False, backend=LANE).sample(200, random_seed=1)
        for approx in (wide, narrow)
    ]
    spread = [float(fit.posterior["x"].std()) for fit in fits]
    assert spread[0] == pytest.approx(1e4 * spread[1], rel=0.1)
    assert wide.key is None
    assert wide.hist[0] != narrow.hist[0]


def test_compiled_functions_of_a_family_without_a_key_are_its_own(model):
    kept = []
    for _ in range(3):
        approx = vb.Approximation([Uniform(None, model=model)], model=model)
        approx.sample(10)
        kept.append(list(model.functions))
    assert kept[0] == kept[1] == kept[2]  # of the likelihood and the data, no draws


def test_declared_options_are_told_apart_and_shared(model):
    keys = [
        vb.Approximation(
            [DeclaredUniform(None, model=model, options={"width": width})], model=model
        ).key
        for width in (1.0, 2.0, 2.0)
    ]
    assert keys[0] != keys[1] == keys[2]
    assert None not in keys


def test_options_that_cannot_be_compared_share_nothing(model):
    group = DeclaredUniform(None, model=model, options={"width": {1, 2}})
    group.attach(model.free_RVs)
    assert group.key is None


def test_a_method_that_an_instance_has_of_its_own_shares_nothing(model):
    group = MeanFieldGroup(model.free_RVs, model=model)
    assert group.key is not None
    group.transform = lambda noise: noise
    assert group.key is None


class LogisticGroup(MeanFieldGroup):
    """Independent logistic distributions, with all else taken over from the normal ones."""

    def transform(self, noise):
        uniform = 0.5 * (1 + pt.erf(noise / np.sqrt(2)))
        return self.mean + self.scale * pt.log(uniform / (1 - uniform))

    def log_density(self, noise, z):
        e = (z - self.params_dict["mu"]) / self.scale
        return (-e - 2 * pt.softplus(-e) - pt.log(self.scale)).sum(axis=-1)

    @property
    def scale(self):
        return pt.softplus(self.params_dict["rho"])


def test_another_density_inherits_no_facts(model):
    group = LogisticGroup(model.free_RVs, model=model)
    assert not group.is_normal
    assert not group.is_diagonal
    assert group.center_name == ""
    approx = SingleGroupApproximation.of(LogisticGroup)(model=model)
    for moment in ("mean", "std", "cov"):
        with pytest.raises(NotImplementedError, match=f"LogisticGroup has no {moment}"):
            getattr(approx, moment)
    with pytest.raises(NotImplementedError, match="only along its own draws"):
        group.log_density_at(pt.zeros(7))


def test_a_moment_that_is_stated_anew_holds(model):
    class Stated(LogisticGroup):
        @property
        def std(self):
            return self.scale * np.pi / np.sqrt(3)

    assert Stated.holds("std")
    assert not Stated.holds("mean")
    assert not Stated.holds("cov")


def test_what_keeps_the_distribution_keeps_the_facts(model):
    class Renamed(MeanFieldGroup):
        def param_elements(self, name):
            return super().param_elements(name)

    group = Renamed(model.free_RVs, model=model)
    assert group.is_normal
    assert group.is_diagonal
    assert group.center_name == "mu"


@pytest.mark.parametrize("family", [MeanFieldGroup, FullRankGroup, LowRankGroup])
def test_normal_families_say_so(model, family):
    approx = vb.Approximation([family(None, model=model)], model=model)
    assert approx.is_normal
    assert approx.groups[0].is_diagonal == (family is MeanFieldGroup)


def test_parameters_of_the_users_own_are_no_trained_normal(model):
    x = model["x"]
    groups = [vb.Group([x], params={"mu": np.zeros(2), "rho": np.zeros(2)}, model=model)]
    with vb.Model() as small:
        x = vb.Normal("x", shape=2)
    groups = [vb.Group([x], params={"mu": np.zeros(2), "rho": np.zeros(2)}, model=small)]
    assert not vb.Approximation(groups, model=small).is_normal


@pytest.mark.parametrize("seed", [1, 2])
def test_a_logistic_family_is_fitted_as_what_it_is(seed):
    with vb.Model() as model:
        vb.Logistic("x", 3.0, 1.0, shape=2)
    approx = vb.Approximation([LogisticGroup(None, model=model)], model=model, random_seed=seed)
    vb.KLqp(approx).fit(progressbar=False, max_steps=4000, backend=LANE)
    draws = approx.sample(4000, random_seed=seed).posterior["x"]
    sd = np.pi / np.sqrt(3)
    np.testing.assert_allclose(draws.mean(("chain", "draw")), 3.0, atol=0.25)
    np.testing.assert_allclose(draws.std(("chain", "draw")), sd, rtol=0.12)


def test_a_family_gives_a_class_of_approximations(model):
    cls = SingleGroupApproximation.of(DeclaredUniform)
    assert cls is SingleGroupApproximation.of(DeclaredUniform)
    assert cls.__name__ == "DeclaredUniform"
    assert cls(model=model, width=3.0).groups[0].width == 3.0
    assert SingleGroupApproximation.of(MeanFieldGroup) is vb.MeanField
