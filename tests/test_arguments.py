from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.variable import TensorVariable

import vibayes as vb
from vibayes.arguments import check_arguments, check_real, check_whole, chosen_names, shown
from vibayes.callbacks.base import period
from vibayes.flows.affine_coupling import AffineCouplingFlow


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), np.array(3)])
def test_whole_numbers(value):
    found = check_whole(value, "n", 1)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [2.5, True, "3", None, np.nan, np.inf, [3], np.array([3, 3]), 0, -1, 1j]
)
def test_others(value):
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 1, got "):
        check_whole(value, "n", 1)


def test_limits():
    assert check_whole(0, "n", 0) == 0
    assert check_whole(5, "rank", 1, 5) == 5
    for value in (0, 6):
        with pytest.raises(
            ValueError, match=f"rank must be a whole number from 1 to 5, got {value}"
        ):
            check_whole(value, "rank", 1, 5)


# -- one rule, wherever a whole number is taken ------------------------------------------------

DATA = np.zeros(6)


def model():
    with vb.Model() as result:
        vb.Normal("x", shape=3)
        vb.Normal("y", 0, 1, observed=DATA)
    return result


def in_model(**options):
    with vb.Model():
        return vb.Normal("y", 0, 1, observed=DATA, **options)


def unfitted():
    return vb.MeanField(model=model())


def streamed(**options):
    return vb.Minibatch(lambda: iter([DATA]), **{"batch_size": 2, "total_size": 6} | options)


def with_callback(every):
    def callback(approx, losses, i):
        pass

    callback.every = every
    return period(callback)


def walk(steps):
    return vb.GaussianRandomWalk.dist(0, 1, init_dist=vb.Normal.dist(0, 1), steps=steps)


def start_from_the_prior(seed):
    with vb.Model() as model:
        vb.Normal("x", initval="prior")
    return model.initial_point(seed)


AT_LEAST_ONE = {
    "tune": ("tune", lambda n: vb.sample(10, tune=n, model=model())),
    "obj_n_mc": ("obj_n_mc", lambda n: vb.fit(10, model=model(), obj_n_mc=n)),
    "tf_n_mc": ("tf_n_mc", lambda n: vb.fit(10, model=model(), tf_n_mc=n)),
    "max_steps": ("max_steps", lambda n: vb.fit(model=model(), max_steps=n)),
    "max_steps of a search": (
        "max_steps",
        lambda n: vb.fit(model=model(), method="laplace", max_steps=n),
    ),
    "draws of sample": ("draws", lambda n: unfitted().sample(n)),
    "draws of NUTS": ("draws", lambda n: vb.sample(n, model=model())),
    "chains of NUTS": ("chains", lambda n: vb.sample(10, chains=n, model=model())),
    "draws of draw": ("draws", lambda n: vb.draw(vb.Normal.dist(), n)),
    "draws of the prior": ("draws", lambda n: vb.sample_prior_predictive(n, model())),
    "draws of predictions": (
        "draws",
        lambda n: vb.sample_posterior_predictive(unfitted(), draws=n),
    ),
    "size of a node": ("size", lambda n: unfitted().sample_node(pt.constant(1.0), size=n)),
    "n_particles": ("n_particles", lambda n: vb.SVGD(n_particles=n, model=model())),
    "size of Empirical": ("size", lambda n: vb.Empirical(size=n, model=model())),
    "components": ("components", lambda n: vb.GaussianMixture(n, model=model())),
    "components of a search": ("components", lambda n: vb.MixtureVI(components=n, model=model())),
    "hidden of a flow": ("hidden", lambda n: AffineCouplingFlow(hidden=n)),
    "batch_size": ("batch_size", lambda n: vb.Minibatch(DATA, n)),
    "batch_size of an axis": ("batch_size", lambda n: vb.Minibatch(DATA, [(n, 1)])),
    "batch_size of a stream": ("batch_size", lambda n: streamed(batch_size=n)),
    "total_size of a stream": ("total_size", lambda n: streamed(total_size=n)),
    "buffer_bytes": ("buffer_bytes", lambda n: streamed(buffer_bytes=n)),
    "in_memory_size": ("in_memory_size", lambda n: vb.Minibatch(DATA, 2, in_memory_size=n)),
    "rows of a sample": ("rows", lambda n: model().sampled_data_replacements(n)),
    "total_size": ("total_size", lambda n: in_model(total_size=n)),
    "total_size of an axis": ("total_size", lambda n: in_model(total_size=[n])),
    "n of LKJ": ("n", lambda n: vb.LKJCholeskyCov.dist(1, n, vb.Exponential.dist(1.0))),
    "n_zerosum_axes": ("n_zerosum_axes", lambda n: vb.ZeroSumNormal.dist(1, n, shape=[3] * 9)),
    "every of Tracker": ("every", lambda n: vb.callbacks.Tracker(every=n, i=lambda: 0)),
    "every of a check": ("every", lambda n: vb.callbacks.CheckParametersConvergence(every=n)),
    "every of a callback": ("every of .*", with_callback),
    "checkpoint_every": (
        "checkpoint_every",
        lambda n: vb.fit(10, model=model(), checkpoint="a.nc", checkpoint_every=n),
    ),
    "n_win": ("n_win", lambda n: vb.adagrad_window(n_win=n)),
}
AT_LEAST_ZERO = {
    "n of fit": ("n", lambda n: vb.fit(n, model=model())),
    "shape": ("shape", lambda n: vb.Normal.dist(shape=n)),
    "shape of an axis": ("shape", lambda n: vb.Normal.dist(shape=(2, n))),
    "size": ("size", lambda n: vb.Normal.dist(size=n)),
    "support_shape": ("support_shape", lambda n: vb.ZeroSumNormal.dist(1, support_shape=n)),
    "length of a dimension": ("length", lambda n: vb.Model().add_coord("row", length=n)),
    "steps": ("steps", walk),
    "start of plot_loss": ("start", lambda n: vb.plot_loss(np.arange(10.0), start=n)),
    "seed of an approximation": (
        "random_seed",
        lambda n: vb.MeanField(model=model(), random_seed=n),
    ),
    "seed of draws": ("random_seed", lambda n: vb.draw(vb.Normal.dist(), random_seed=n)),
    "seed of a minibatch": ("random_seed", lambda n: vb.Minibatch(DATA, 2, random_seed=n)),
    "seed of a stream": ("random_seed", lambda n: streamed(random_seed=n)),
    "seed of at_rng": ("random_seed", lambda n: vb.at_rng(n)),
    "seed of the start": ("random_seed", start_from_the_prior),
}


ALL = [
    pytest.param(call, rf"\b{name} must be a whole number of at least {least}, got ", id=what)
    for least, arguments in ((1, AT_LEAST_ONE), (0, AT_LEAST_ZERO))
    for what, (name, call) in arguments.items()
]


@pytest.mark.parametrize(("call", "message"), ALL)
def test_what_is_no_whole_number(call, message):
    for value in (2.5, "5", True, np.True_, -1, np.nan):
        with pytest.raises(ValueError, match=f"{message}.*{value}"):
            call(value)


NOT_CHEAP = {"fit", "NUTS", "sample", "prior", "predictions", "plot_loss", "tune"}
CHEAP = {
    what: call
    for what, (_, call) in (AT_LEAST_ONE | AT_LEAST_ZERO).items()
    if what.split()[-1] not in NOT_CHEAP
    and not {"obj_n_mc", "tf_n_mc", "max_steps", "checkpoint_every"} & set(what.split())
    and what != "total_size of a stream"  # which has six rows
}


@pytest.mark.parametrize("what", CHEAP)
def test_every_kind_of_number_is_taken(what):
    for value in (6, 6.0, np.int32(6), np.float32(6), np.array(6.0)):
        CHEAP[what](value)


def test_total_sizes_are_taken_of_every_kind_of_number():
    for value in (12, 12.0, np.float64(12), np.int8(12), 1.2e1):
        with vb.Model() as scaled:
            y = vb.Normal("y", 0, 1, observed=DATA, total_size=value)
        assert scaled.rvs_to_total_sizes[y] == (12,)


# -- arguments by their annotations ------------------------------------------------------------


@check_arguments
def annotated(
    flag: bool = True,
    number: float | None = None,
    text: str = "",
    by_name: Mapping[str, Any] | None = None,
    names: str | Sequence[str] = (),
    function: Callable[..., Any] | None = None,
    tensor: TensorVariable | None = None,
    anything: Any = None,
    **others: int,
):
    return flag


class Annotated:
    @check_arguments
    def __init__(self, flag: bool):
        self.flag = flag


@pytest.mark.parametrize(
    ("argument", "good", "bad", "words"),
    [
        ("flag", [True, np.False_, 0, 1], ["no", None, 2, 1.5, np.zeros(2)], "True or False"),
        ("number", [1, 2.5, np.float32(1), np.array(2.0), None], ["1", 1j, [1], {}], "a number"),
        ("text", ["a", np.str_("a")], [b"a", 1, None, ["a"]], "a string"),
        ("by_name", [{}, {"a": 1}, None], [[], "a", 1], "a dict"),
        ("names", ["a", ["a"], ("a", "b"), np.array(["a"])], [1, [1], {"a": 1}, None], "strings"),
        ("function", [len, float, lambda: 1, None], [1, "len"], "a callable"),
        ("tensor", [pt.vector(), pytensor.shared(1.0), None], [1.0, "a"], "expression"),
        ("anything", [1, "a", None], [], ""),
        ("others", [1, "a", None], [], ""),
    ],
)
def test_arguments_are_what_annotations_say(argument, good, bad, words):
    for value in good:
        annotated(**{argument: value})
    for value in bad:
        with pytest.raises(TypeError, match=f"^annotated: {argument} must be .*{words}.*, got "):
            annotated(**{argument: value})


def test_whose_argument_it_is():
    with pytest.raises(TypeError, match=r"^Annotated: flag must be True or False, got 'no'"):
        Annotated("no")
    with pytest.raises(TypeError, match=r"^annotated: too many positional arguments"):
        annotated(*range(20))


def test_values_are_shown_in_one_short_line():
    class Evil:
        def __repr__(self):
            raise RuntimeError

    assert shown(Evil()) == "a Evil"
    assert shown("a\nb") == repr("a\nb")
    assert len(shown(np.zeros(1000))) <= 80
    assert "\n" not in shown(np.zeros((3, 3)))


@pytest.mark.parametrize("value", ["1", None, 1j, [1.0], {}, np.ma.masked])
def test_what_is_no_real_number(value):
    with pytest.raises(TypeError, match=r"^x must be a number, got "):
        check_real(value, "x")


def test_limits_of_real_numbers():
    assert check_real(np.float32(0.5), "x", least=0) == 0.5
    assert check_real(np.inf, "x", above=0, finite=False) == np.inf
    for options, words in [
        ({"least": 0}, "a number of at least 0"),
        ({"above": 0}, "a positive number"),
        ({"above": 1}, "a number above 1"),
    ]:
        for value in (-1.0, np.nan):
            with pytest.raises(ValueError, match=f"^x must be {words}, got "):
                check_real(value, "x", **options)
    for value in (np.inf, 10**400):
        with pytest.raises(ValueError, match=r"^x must be a finite number, got "):
            check_real(value, "x")


def test_counts_are_no_larger_than_an_integer_of_64_bits():
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 9223372036854775807"):
        check_whole(10**20, "n", 1)
    assert check_whole(10**30, "n", 1, None) == 10**30


ASKED_LATE = {
    "a word for a flag": (lambda: vb.fit(5, model=model(), score="no"), "score must be True or"),
    "a word for replace": (lambda: vb.Minibatch(DATA, 2, replace="no"), "replace must be True or"),
    "no approximation": (lambda: vb.KL("x"), "KL: approx must be an approximation"),
    "a number for one": (lambda: vb.IWELBO(5), "IWELBO: approx must be an approximation"),
    "no operator": (lambda: vb.ObjectiveFunction(None), "op must be an objective"),
    "no seconds": (lambda: vb.fit(model=model(), max_seconds="a"), "max_seconds must be a number"),
    "no scale": (
        lambda: vb.MeanField(model=model(), cost_part_grad_scale="x"),
        "cost_part_grad_scale must be a number",
    ),
    "no path": (lambda: unfitted().save(5), "path must be the name of a file, got 5"),
    "no variable": (lambda: vb.draw(3.0), "draw: vars must be a PyTensor expression"),
    "no data": (lambda: in_model_data(None), r"Data\('d'\): value must be numbers, got None"),
    "texts": (
        lambda: observed(["1", "2"]),
        r"Normal\('y'\): observed data must be numbers",
    ),
    "complex numbers": (lambda: vb.Normal.dist(1j), "Normal: mu must be numbers, got 1j"),
    "a mask": (
        lambda: vb.Categorical.dist(np.ma.masked_array([0.5, 0.5], [0, 1])),
        "Categorical: 1 of 2 values of p are masked",
    ),
    "no callback": (lambda: vb.fit(5, model=model(), callbacks=[3]), "callbacks must be"),
}


def in_model_data(value):
    with vb.Model():
        return vb.Data("d", value)


def observed(value):
    with vb.Model():
        return vb.Normal("y", observed=value)


@pytest.mark.parametrize("what", ASKED_LATE)
def test_what_was_asked_late_or_never(what):
    call, message = ASKED_LATE[what]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["b", "q"], KeyError, "here: no variable 'q'; there are a, b, c"),
        ([], ValueError, "here must have a name at least, got"),
        (pd.DataFrame({"a": [1.0]}), TypeError, "here must be a name, or a list of names, got"),
        (np.array([["a"]]), TypeError, "here must be a name, or a list of names, got"),
        (["a", 1], TypeError, "here must be a name, or a list of names, got"),
        (3, TypeError, "here must be a name, or a list of names, got 3"),
    ],
)
def test_what_chooses_no_names(given, error, message):
    with pytest.raises(error, match=message):
        chosen_names(given, ["a", "b", "c"], "variable", "here")


@pytest.mark.parametrize("given", [["c", "a", "c"], ("c", "a"), np.array(["c", "a"])])
def test_names_are_chosen_in_the_order_of_the_call(given):
    assert chosen_names(given, ["a", "b", "c"], "variable") == ["c", "a"]
    assert chosen_names("b", ["a", "b", "c"], "variable") == ["b"]
    assert chosen_names(None, ["a", "b", "c"], "variable") == ["a", "b", "c"]
