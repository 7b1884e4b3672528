import numpy as np
import pytest
import xarray as xr

import vibayes as vb
from vibayes.exceptions import ModelError, ShapeError
from vibayes.predictive.trace import posterior_of


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"school": ["a", "b", "c"], "year": [2001, 2002]}) as model:
        vb.Normal("effect", 0, 1, dims=("school", "year"))
        vb.Normal("free", 0, 1, shape=2)
        vb.Poisson("count", 1.0)
    return model


def values(model, name, array, dims=None, coords=None):
    own = [f"{name}_dim_{i}" for i in range(np.ndim(array) - 2)] if dims is None else dims
    data = xr.Dataset({name: (("chain", "draw", *own), array)}, coords=coords)
    return posterior_of(data).values(model, [model[name]])[0]


EFFECT = np.arange(2 * 4 * 6.0).reshape(2, 4, 3, 2)


def test_draws_of_all_chains_follow_each_other(model):
    np.testing.assert_array_equal(values(model, "effect", EFFECT), EFFECT.reshape(8, 3, 2))


def test_dims_in_another_order(model):
    turned = EFFECT.swapaxes(2, 3)
    drawn = values(model, "effect", turned, ("year", "school"))
    np.testing.assert_array_equal(drawn, EFFECT.reshape(8, 3, 2))


def test_axes_of_draws_at_the_end(model):
    data = xr.Dataset({"free": (("k", "draw", "chain"), np.arange(12.0).reshape(2, 3, 2))})
    drawn = posterior_of(data).values(model, [model["free"]])[0]
    np.testing.assert_array_equal(drawn[:3, 0], [0, 2, 4])


def test_labels_in_another_order(model):
    coords = {"school": ["c", "a", "b"]}
    drawn = values(model, "effect", EFFECT, ("school", "year"), coords)
    np.testing.assert_array_equal(drawn, EFFECT[:, :, [1, 2, 0]].reshape(8, 3, 2))


def test_plain_numbers_for_labels(model):
    drawn = values(model, "effect", EFFECT, ("school", "year"), {"school": [0, 1, 2]})
    np.testing.assert_array_equal(drawn, EFFECT.reshape(8, 3, 2))


def test_other_labels_are_named(model):
    with pytest.raises(ModelError, match=r"'effect' along 'school' .* at 1 there is .*'x'"):
        values(model, "effect", EFFECT, ("school", "year"), {"school": ["a", "x", "c"]})


def test_other_shapes_are_named(model):
    with pytest.raises(ShapeError, match=r"'free' with shape \(3,\) .* shape \(2,\)"):
        values(model, "free", np.zeros((1, 4, 3)))
    data = xr.Dataset({"free": (("draw", "k"), np.zeros((4, 2))), "x": ("chain", np.zeros(1))})
    with pytest.raises(ShapeError, match=r"'free' have dims .* without 'chain'"):
        posterior_of(data).values(model, [model["free"]])


def test_missing_variables_are_named(model):
    posterior = posterior_of(xr.Dataset({"free": (("chain", "draw", "k"), np.zeros((1, 4, 2)))}))
    with pytest.raises(ModelError, match=r"no draws of 'effect', 'count', which .* has 'free'"):
        posterior.values(model, [model["effect"], model["free"], model["count"]])


def test_dtypes(model):
    assert values(model, "count", np.array([[1.0, 2.0]])).dtype == "int64"
    with pytest.raises(ModelError, match="'count' must be whole numbers"):
        values(model, "count", np.array([[1.5, 2.0]]))
    with pytest.raises(TypeError, match="'count' are no numbers"):
        values(model, "count", np.array([["a", "b"]]))


def test_what_holds_a_posterior():
    data = xr.Dataset({"x": (("chain", "draw"), np.zeros((1, 4)))})
    tree = xr.DataTree.from_dict({"posterior": data, "other": data})
    for trace in (data, tree, tree["posterior"]):
        assert posterior_of(trace).posterior.identical(data)
        assert posterior_of(trace).sample_dims == ("chain", "draw")
    stacked = data.stack(sample=("chain", "draw"))
    assert posterior_of(stacked).sample_dims == ("sample",)
    assert posterior_of(data, ["draw", "chain"]).lead == (4, 1)


def test_what_does_not():
    data = xr.Dataset({"x": (("k", "draw"), np.zeros((1, 4)))})
    with pytest.raises(TypeError, match=r"expected an approximation.* got list"):
        posterior_of([])
    with pytest.raises(ModelError, match="no group 'posterior'"):
        posterior_of(xr.DataTree.from_dict({"prior": data}))
    with pytest.raises(ModelError, match="no dimension 'chain'"):
        posterior_of(data, ["chain", "draw"])
    with pytest.raises(ModelError, match="no dimension 'chain', 'draw' along which"):
        posterior_of(xr.Dataset({"x": ("k", np.zeros(4))}))
