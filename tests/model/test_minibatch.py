import copy
import pickle
import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from helpers.minibatches import normal_model, numbered
from pytensor.graph.replace import graph_replace
from scipy import stats

import vibayes as vb
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import ImputationError, ShapeError
from vibayes.model.minibatch import Minibatch

pytestmark = pytest.mark.usefixtures("without_compiler")

SEEDS = [1, 2, 3]


def compiled(outputs):
    return pytensor.function([], outputs, mode=EVALUATE_MODE)


# -- what a minibatch shows -------------------------------------------------------------------


def test_it_is_a_tensor_of_rows_of_the_data():
    data = numbered(20, 3)
    x = Minibatch(data, batch_size=4)
    assert isinstance(x, pt.TensorVariable)
    assert issubclass(Minibatch, pt.TensorVariable)
    assert x.type.shape == (None, None)
    assert x.batch_shape == (4, 3)
    values = x.eval()
    assert values.shape == (4, 3)
    np.testing.assert_array_equal(values, data[(values[:, 0] / 3).astype(int)])
    assert (x.eval() != values).any()
    twice = (2 * x + 1).eval()
    assert set((twice[:, 0] - 1) / 2) <= set(data[:, 0])


def test_expressions_in_one_function_see_the_same_rows():
    x = Minibatch(numbered(50), batch_size=5)
    one, two = compiled([x, x**2])()
    np.testing.assert_array_equal(one**2, two)


def test_names_and_representation():
    assert repr(Minibatch(numbered(5), 2)) == "Minibatch"
    assert str(Minibatch(numbered(5), 2, name="x")) == "x"
    assert [m.name for m in Minibatch(numbered(5), numbered(5), batch_size=2)] == [
        "Minibatch_0",
        "Minibatch_1",
    ]


# -- the same rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
def test_several_arrays_show_the_same_rows(replace):
    X, y, z = Minibatch(
        numbered(30, 2), np.arange(30), -numbered(30), batch_size=7, replace=replace
    )
    assert (X.dtype, y.dtype) == (pytensor.config.floatX, "int64")
    function = compiled([X, y, z])
    for _ in range(6):
        a, b, c = function()
        np.testing.assert_array_equal(a[:, 0], 2 * b)
        np.testing.assert_array_equal(b, -c)


def test_several_arrays_and_how_a_batch_size_is_told_from_one():
    arrays = numbered(300, 2), numbered(300)
    assert [m.batch_shape for m in Minibatch(*arrays)] == [(128, 2), (128,)]
    assert [m.batch_shape for m in Minibatch(*arrays, 9)] == [(9, 2), (9,)]
    assert [m.batch_shape for m in Minibatch(*arrays, batch_size=(9,))] == [(9, 2), (9,)]
    assert Minibatch(arrays[0], [9, 1]).batch_shape == (9, 1)
    lists = [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]
    assert [m.batch_shape for m in Minibatch(*lists, batch_size=2)] == [(2,), (2,)]
    with pytest.raises(TypeError, match="broadcastable"):
        Minibatch(*arrays, batch_size=9, broadcastable=(False, False))


@pytest.mark.parametrize("replace", [True, False])
def test_separate_minibatches_of_equal_length_seed_and_size_show_the_same_rows(replace):
    X = Minibatch(numbered(30, 2), 7, replace=replace)
    assert X.eval().shape == (7, 2)  # to look at one of them does not put them out of step
    y = Minibatch(np.arange(30), 7, replace=replace)
    assert y.eval().shape == (7,)
    function = compiled([X, y])
    for _ in range(6):
        a, b = function()
        np.testing.assert_array_equal(a[:, 0], 2 * b)


@pytest.mark.parametrize("replace", [True, False])
def test_other_seeds_and_none_show_other_rows(replace):
    options = dict(batch_size=7, replace=replace)
    seeds = [42, 1, None, None]
    several = [Minibatch(np.arange(30), random_seed=s, **options) for s in seeds]
    several.append(Minibatch(np.arange(30), [(7, 2)], replace=replace))
    draws = compiled(several)()
    assert len({tuple(d) for d in draws}) == len(draws)
    named = Minibatch(np.arange(30), [(7, 1)], replace=replace)
    np.testing.assert_array_equal(*compiled([several[1], named])())


def test_same_rows_in_a_regression():
    """Rows of the two sides that belong to each other are fitted together."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 2))
    y = X @ [1.0, -2.0]
    mean = Minibatch(X, 10) @ [1.0, -2.0]
    residual = compiled(Minibatch(y, 10) - mean)
    for _ in range(20):
        np.testing.assert_allclose(residual(), 0, atol=1e-12)


def test_each_row_once_an_epoch_without_replacement():
    x = Minibatch(np.arange(25), 10, replace=False)
    function = compiled(x)
    rows = np.concatenate([function() for _ in range(10)]).reshape(4, 25)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.broadcast_to(np.arange(25), (4, 25)))
    assert len({tuple(epoch) for epoch in rows}) == 4


# -- other data -------------------------------------------------------------------------------


def test_data_can_be_exchanged():
    x = Minibatch(numbered(20, 3), 4)
    function = compiled(x)
    x.set_value(np.full((50, 3), 7))
    np.testing.assert_array_equal(function(), np.full((4, 3), 7.0))
    x.shared.set_value(np.full((8, 3), 8.0))
    np.testing.assert_array_equal(function(), np.full((4, 3), 8.0))


@pytest.mark.parametrize("replace", [True, False])
def test_rows_reach_as_far_as_the_new_data(replace):
    x = Minibatch(np.arange(20), 4, replace=replace)
    function = compiled(x)
    x.set_value(np.arange(60))
    assert max(function().max() for _ in range(40)) >= 40
    x.set_value(np.arange(5))
    assert max(function().max() for _ in range(40)) == 4


def test_update_shared():
    numbers = iter([1.0, 2.0, 3.0])
    x = Minibatch(np.zeros(5), 2, update_shared_f=lambda: np.full(5, next(numbers)))
    for expected in (1, 2, 3):
        x.update_shared()
        np.testing.assert_array_equal(x.eval(), [expected, expected])
    with pytest.raises(NotImplementedError, match="update_shared_f, which was not given"):
        Minibatch(np.zeros(5), 2).update_shared()


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("replaced", ["itself", "minibatch"])
def test_replacement_by_other_and_by_all_data(replace, replaced):
    data, testdata = numbered(30, 4), -numbered(70, 2)
    x = Minibatch(data, 5, replace=replace)
    node = x**2
    old = x if replaced == "itself" else x.minibatch
    np.testing.assert_array_equal(graph_replace(node, {old: x.shared}).eval(), data**2)
    new = graph_replace(node, {old: pt.constant(testdata)})
    np.testing.assert_array_equal(new.eval(), testdata**2)
    assert node.eval().shape == (5, 4)


# -- clones and copies ------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("dump", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_copies_are_minibatches_of_their_own(replace, dump):
    X, y = Minibatch(numbered(30, 2), np.arange(30), batch_size=7, replace=replace)
    X.eval()
    new_X, new_y = dump((X, y))
    assert isinstance(new_X, Minibatch)
    a, b = compiled([new_X, new_y])()
    np.testing.assert_array_equal(a[:, 0], 2 * b)
    np.testing.assert_array_equal(a, X.eval())  # from where the original stands
    new_X.set_value(numbered(40, 2) + 100)
    assert X.shared.get_value().max() == 59
    assert new_X.eval().min() >= 100


def test_a_clone_is_a_plain_tensor():
    x = Minibatch(numbered(5), 2, name="x")
    clone = x.clone()
    assert type(clone) is pt.TensorVariable
    assert (clone.name, clone.type, clone.owner) == ("x", x.type, None)
    assert x.clone(name="y").name == "y"


# -- bad input --------------------------------------------------------------------------------


def test_other_bad_arguments():
    data = numbered(10)
    with pytest.raises(ShapeError, match=r"different lengths, \[10, 9\]"):
        Minibatch(data, numbered(9), batch_size=2)
    with pytest.raises(ShapeError, match="batch_size 11 is more than the 10"):
        Minibatch(data, data, batch_size=11)
    with pytest.raises(TypeError, match="dtype must be one of numbers, got 'bool'"):
        Minibatch(data, 2, dtype="bool")
    with pytest.raises(TypeError, match="update_shared_f must be a callable or None, got 3"):
        Minibatch(data, 2, update_shared_f=3)
    with pytest.raises(ValueError, match=r"random_seed must be .* got 1\.5"):
        Minibatch(data, 2, random_seed=1.5)
    with pytest.raises(ShapeError, match="in_memory_size 11 is more than the 10"):
        Minibatch(data, 2, in_memory_size=11)
    with pytest.raises(ValueError, match=r"in_memory_size must be .* got 'a'"):
        Minibatch(data, 2, in_memory_size="a")
    with pytest.raises(ShapeError, match="batch_size 8 is more than the 5"):
        Minibatch(data, 8, in_memory_size=5)
    with pytest.raises(ValueError, match="in_memory_size is for data that are copied"):
        Minibatch(pytensor.shared(data), 2, in_memory_size=5)
    with pytest.raises(TypeError, match=r"has dtype float64 .* so dtype cannot be 'int32'"):
        Minibatch(pytensor.shared(data), 2, dtype="int32")


# -- in a model -------------------------------------------------------------------------------


def likelihood(model):
    """Return a function of nothing: the scaled log likelihood of new rows, at mu = 0.3."""
    graph = graph_replace(model.observedlogp, {model.value_vars[0]: pt.constant(0.3)})
    return compiled(graph)


FORMS = [
    ((60, 3), 7, 60),
    ((60, 3), 7, (60, 3)),
    ((60, 3), 7, [60, Ellipsis]),
    ((60, 3), 7, [60, None]),
    ((12, 10), [5, 4], (12, 10)),
    ((10, 10), [5, 5], [10, 10]),
    ((12, 10), [(5, 1), (4, 2)], [12, 10]),
    ((3, 60), [None, 7], [None, 60]),
    ((3, 60), [Ellipsis, 7], [Ellipsis, 60]),
    ((12, 3, 10), [5, None, 4], [12, None, 10]),
    ((12, 3, 10), [5, Ellipsis, 4], (12, Ellipsis, 10)),
    ((12, 3, 10), [5, Ellipsis, 4], (12, 3, 10)),
    ((60,), None, (60,)),
]
EACH_BATCH = [FORMS[i] for i in (0, 4, 9)]  # of one axis, of two, of all but one


@pytest.mark.parametrize(
    ("shape", "batch_size", "total_size", "replace"),
    by_default([(*form, True) for form in FORMS], [(*form, True) for form in FORMS[::2]])
    + [
        # forms of total_size have nothing to do with how rows are drawn
        pytest.param(*form, False, marks=() if form in EACH_BATCH else pytest.mark.slow)
        for form in FORMS
    ],
)
def test_scaled_log_density_is_unbiased(shape, batch_size, total_size, replace):
    data = np.random.default_rng(5).gamma(1.0, 3.0, size=shape)
    full = stats.norm(0.3, 2).logpdf(data).sum()
    for seed in SEEDS:
        x = Minibatch(data, batch_size, random_seed=seed, replace=replace)
        function = likelihood(normal_model(x, total_size))
        values = np.array([function() for _ in range(400)])
        assert abs(values.mean() - full) < 4.5 * values.std() / 20 + 1e-9 * abs(full)


@pytest.mark.parametrize("seed", SEEDS)
def test_mean_over_an_epoch_is_that_of_all_data(seed):
    data = np.random.default_rng(5).gamma(1.0, 3.0, size=(60, 2))
    x = Minibatch(data, 12, random_seed=seed, replace=False)
    function = likelihood(normal_model(x, data.shape))
    for _ in range(3):
        mean = np.mean([function() for _ in range(5)])
        np.testing.assert_allclose(mean, stats.norm(0.3, 2).logpdf(data).sum())


def test_expressions_of_minibatches_can_be_observed():
    data = np.random.default_rng(5).normal(size=(60, 2))
    x = Minibatch(data, 6, replace=False)
    function = likelihood(normal_model(2 * x[:, 1] + 1, 60))
    mean = np.mean([function() for _ in range(10)])
    np.testing.assert_allclose(mean, stats.norm(0.3, 2).logpdf(2 * data[:, 1] + 1).sum())


@pytest.mark.parametrize("replace", [True, False])
def test_batched_likelihoods(replace):
    """A multivariate normal of which each row is an event, with parameters of either kind."""
    rng = np.random.default_rng(5)
    data, predictor = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    cov = np.array([[2.0, 0.3], [0.3, 1.0]])
    y, x = Minibatch(data, predictor, batch_size=15, replace=replace)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.MvNormal("y", mu + x, cov=cov, observed=y, total_size=data.shape)
    function = likelihood(model)
    values = np.array([function() for _ in range(400)])
    full = stats.multivariate_normal([0, 0], cov).logpdf(data - 0.3 - predictor).sum()
    error = values.reshape(-1, 4).mean(axis=1).std() / 10  # four batches are an epoch
    assert abs(values.mean() - full) < 4.5 * error + 1e-9 * abs(full)


def test_categories_and_counts():
    labels = np.random.default_rng(1).integers(3, size=90)
    p = np.array([0.2, 0.5, 0.3])
    x = Minibatch(labels, 9, replace=False)
    with vb.Model() as model:
        vb.Normal("mu")
        vb.Categorical("y", p=p, observed=x, total_size=90)
    function = compiled(model.observedlogp)
    mean = np.mean([function() for _ in range(10)])
    np.testing.assert_allclose(mean, np.log(p[labels]).sum())


def test_without_total_size_there_is_a_warning_that_says_how_to_set_it():
    x = Minibatch(numbered(60, 3), 7)
    for observed in (x, 2 * x):
        with pytest.warns(UserWarning, match=r"Normal\('y'\).* the 7 .*total_size=\(60, 3\)") as w:
            normal_model(observed, None)
        (own,) = [warning for warning in w if warning.category is UserWarning]
        assert own.filename == normal_model.__code__.co_filename
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        normal_model(x, 60)
        normal_model(Minibatch(numbered(60), None), None)
        normal_model(numbered(60), None)


def test_a_total_size_below_the_batch_is_an_error():
    x = Minibatch(numbered(60, 3), 7)
    for observed, total_size in [(x, 6), (x, (60, 2)), (x[:5, 0] + 1, 4)]:
        with pytest.raises(ValueError, match=r"Normal\('y'\): total_size \d is less than the \d"):
            normal_model(observed, total_size)
    normal_model(x, 7)


def test_shapes_are_checked_by_the_batch():
    x = Minibatch(numbered(60, 3), 7)
    with vb.Model() as model:
        vb.Normal("three", np.zeros(3), 1, observed=x, total_size=60)
        vb.Normal("seven", np.zeros((7, 1)), 1, observed=x, total_size=60)
        for shape in [(2,), (60, 3)]:
            with pytest.raises(ShapeError, match=r"Normal\('y'\).*shape \(7, 3\).*do(es)? not"):
                vb.Normal("y", np.zeros(shape), 1, observed=x, total_size=60)
    assert model.named_vars.keys() == {"three", "seven"}


def test_missing_values_and_fractions_are_told():
    data = numbered(30)
    data[4] = np.nan
    with pytest.raises(ImputationError, match="1 of 30 observed values are NaN"):
        normal_model(Minibatch(data, 5), 30)
    with vb.Model(), pytest.raises(ValueError, match="observed data must be whole numbers"):
        vb.Poisson("n", 2.0, observed=Minibatch(numbered(30) / 2, 5), total_size=30)


def test_dims_have_the_length_of_the_whole_data():
    coords = {"row": np.arange(60), "column": ["a", "b", "c"]}
    x = Minibatch(numbered(60, 3), 7)
    with vb.Model(coords=coords) as model:
        mu = vb.Normal("mu", 0, 10, dims="column")
        vb.Normal("y", mu, 1, observed=x, dims=("row", "column"), total_size=60)
        with pytest.raises(ShapeError, match="length 3 along dimension 'row', which has"):
            vb.Normal("z", 0, 1, observed=x.T, dims=("row", "column"), total_size=60)
    assert vb.draw(model["y"], random_seed=1).shape == (7, 3)
    with vb.Model(coords={"new": None, "also": None}) as model:
        vb.Normal("y", 0, 1, observed=x, dims=("new", "also"), total_size=60)
    assert (model.dim_length("new"), model.dim_length("also")) == (60, 3)


def test_exchangeable_data():
    data = np.random.default_rng(3).normal(size=60)
    with vb.Model() as model:
        y = vb.Data("y_data", data, dims="row")
        mu = vb.Normal("mu", 0, 10)
        x = Minibatch(y, 6, replace=False)
        vb.Normal("y", mu, 2.0, observed=x, dims="row", total_size=60)
        function = likelihood(model)
        for _ in range(2):
            mean = np.mean([function() for _ in range(10)])
            np.testing.assert_allclose(mean, stats.norm(0.3, 2).logpdf(data).sum())
            data = data + 1
            vb.set_data({"y_data": data})


# -- fits -------------------------------------------------------------------------------------

STEPS = dict(backend="py", progressbar=False)
DATA = np.random.default_rng(4).normal(3.0, 1.0, size=(400, 2))


def flat_model(total_size=DATA.shape, **options):
    x = Minibatch(DATA, 40, **options)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 100, shape=2)
        vb.Normal("y", mu, 1.0, observed=x, total_size=total_size)
    return model, x


METHODS = {
    "advi": lambda m: vb.ADVI(model=m, random_seed=1),
    "fullrank": lambda m: vb.FullRankADVI(model=m, random_seed=1),
    "lowrank": lambda m: vb.LowRankADVI(rank=1, model=m, random_seed=1),
    "flow": lambda m: vb.NFVI(flow="scale-loc", model=m, random_seed=1),
    "svgd": lambda m: vb.SVGD(n_particles=20, jitter=1, model=m, random_seed=1),
}


@pytest.mark.parametrize("replace", by_default([True, False], {False}))
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_mean_of_all_data(method, replace):
    model, _ = flat_model(replace=replace)
    inference = METHODS[method](model)
    for rate, n in [(0.3, 150), (0.01, 300)]:
        inference.fit(n, obj_optimizer=vb.adam(learning_rate=rate), obj_n_mc=4, **STEPS) if (
            method != "svgd"
        ) else inference.fit(n, obj_optimizer=vb.adam(learning_rate=rate), **STEPS)
    mean = inference.approx.sample(500, random_seed=1).posterior["mu"].values.mean(axis=(0, 1))
    # sd of the posterior 0.05, of the mean of a batch 0.16
    np.testing.assert_allclose(mean, DATA.mean(axis=0), atol=0.12)


def fitted(model, n, parts=1, seed=1, **options):
    inference = vb.ADVI(model=model, random_seed=seed)
    inference.fit(n // parts, **STEPS, **options)
    for _ in range(parts - 1):
        inference.refine(n // parts, progressbar=False)
    return np.concatenate([inference.hist, *(p.get_value() for p in inference.approx.params)])


@pytest.mark.parametrize("replace", [True, False])
def test_same_seed_same_numbers_however_steps_are_chunked(replace):
    model, _ = flat_model(replace=replace)
    whole = fitted(model, 60)
    np.testing.assert_array_equal(fitted(model, 60, parts=4), whole)
    np.testing.assert_array_equal(fitted(model, 60), whole)
    looks = [lambda *args: None]
    np.testing.assert_array_equal(fitted(model, 60, callbacks=looks), whole)
    assert (fitted(model, 60, seed=2) != whole).all()


@pytest.mark.parametrize("replace", [True, False])
def test_fits_do_not_depend_on_what_was_looked_at_before(replace):
    """Neither does a fit advance what an evaluation shows."""
    expected = fitted(flat_model(replace=replace)[0], 30)
    model, x = flat_model(replace=replace)
    x.eval()
    np.testing.assert_array_equal(fitted(model, 30), expected)
    other, y = flat_model(replace=replace)
    fitted(other, 30)
    _, z = flat_model(replace=replace)
    np.testing.assert_array_equal(*compiled([y, z])())


def test_a_fit_sees_new_data_without_compiling_again():
    model, x = flat_model()
    inference = vb.ADVI(model=model, random_seed=1)
    options = dict(obj_optimizer=vb.adam(learning_rate=0.1), **STEPS)
    inference.fit(300, **options)
    steps = inference.last_run.loop.steps
    x.set_value(DATA[:200] - 3)
    inference.fit(300, **options)
    assert inference.last_run.loop.steps is steps
    np.testing.assert_allclose(inference.approx.mean.eval(), DATA[:200].mean(axis=0) - 3, atol=0.4)


def test_a_minibatch_in_place_of_the_full_data():
    shared = pytensor.shared(DATA)
    x = Minibatch(DATA, 40)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 100, shape=2)
        vb.Normal("y", mu, 1.0, observed=shared, total_size=DATA.shape)
    inference = vb.ADVI(model=model, random_seed=1)
    inference.fit(3, more_replacements={shared: x}, **STEPS)
    batches = inference.hist
    assert len(set(batches)) == 3
    expected = fitted(flat_model()[0], 3)[:3]
    np.testing.assert_allclose(batches, expected, rtol=0.05)


def test_a_fit_on_the_whole_data_of_a_minibatch_model():
    model, _ = flat_model()
    with vb.Model() as full:
        mu = vb.Normal("mu", 0, 100, shape=2)
        vb.Normal("y", mu, 1.0, observed=DATA)
    whole = fitted(model, 20, more_replacements=model.whole_data_replacements())
    np.testing.assert_allclose(whole, fitted(full, 20), rtol=1e-10)


def test_loss_is_unbiased():
    model, _ = flat_model()
    rate = dict(obj_optimizer=vb.sgd(learning_rate=0.0), **STEPS)
    unscaled = dict(model=model, scale_cost_to_minibatch=False)
    losses = vb.ADVI(**unscaled, random_seed=1).fit(2000, **rate).hist
    whole = model.whole_data_replacements()
    full = vb.ADVI(**unscaled, random_seed=2).fit(2000, more_replacements=whole, **rate).hist
    error = np.hypot(losses.std(), full.std()) / np.sqrt(2000)
    assert abs(losses.mean() - full.mean()) < 4 * error
