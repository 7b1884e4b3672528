import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import special, stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.backend.seeds import reseeded
from vibayes.distributions.base import logp
from vibayes.distributions.discrete import OrderedLogistic
from vibayes.distributions.ordered_multinomial import OrderedMultinomial
from vibayes.exceptions import ParameterError
from vibayes.model.core import Model

CUT = np.array([-1.0, 0.5, 2.0])


def shares(eta, cut=CUT):
    return np.diff(np.concatenate([[0.0], special.expit(cut - eta), [1.0]]))


def test_density():
    eta, cut = pt.vector("eta", shape=(2,)), pt.vector("cut", shape=(3,))
    x = np.array([[3, 2, 4, 1], [0, 0, 1, 9]])
    density = logp(OrderedMultinomial.dist(eta, cut, 10), x)
    grads = pytensor.grad(density.sum(), [eta, cut])
    f = pytensor.function([eta, cut], [density, *grads], mode=EVALUATE_MODE)
    etas = np.array([0.3, -2.0])
    value, by_eta, by_cut = f(etas, CUT)

    def reference(etas, cut):
        return [
            stats.multinomial(10, shares(e, cut)).logpmf(row)
            for e, row in zip(etas, x, strict=True)
        ]

    np.testing.assert_allclose(value, reference(etas, CUT), rtol=1e-10)
    h = 1e-6
    numeric = (np.sum(reference(etas + h, CUT)) - np.sum(reference(etas - h, CUT))) / (2 * h)
    np.testing.assert_allclose(by_eta.sum(), numeric, rtol=1e-6)
    for k, step in enumerate(h * np.eye(3)):
        up, down = (np.sum(reference(etas, CUT + s * step)) for s in (1, -1))
        np.testing.assert_allclose(by_cut[k], (up - down) / (2 * h), rtol=1e-6, atol=1e-7)


def test_tails_keep_their_digits():
    """One trial has the mass of OrderedLogistic, also where shares are below the smallest sum."""
    for eta in (-45.0, 60.0):
        for k in range(4):
            one = logp(OrderedMultinomial.dist(eta, CUT, 1), np.eye(4, dtype=int)[k])
            a, b = evaluate([one, logp(OrderedLogistic.dist(eta, CUT), k)])
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_cutpoints_out_of_order_have_no_mass_and_no_nan():
    cut = pt.vector("cut", shape=(3,))
    density = logp(OrderedMultinomial.dist(0.0, cut, 3), [1, 1, 0, 1])
    f = pytensor.function([cut], [density, pytensor.grad(density, cut)], mode=EVALUATE_MODE)
    value, gradient = f([1.0, 0.0, 2.0])
    assert value == -np.inf
    assert np.isfinite(gradient).all()


def test_draws():
    rv = OrderedMultinomial.dist([0.3, -1.0], CUT, 20, size=(4000, 2))
    x = evaluate(reseeded([rv], 1)[0])[0]
    assert x.shape == (4000, 2, 4)
    assert (x.sum(axis=-1) == 20).all()
    for i, eta in enumerate((0.3, -1.0)):
        p = shares(eta)
        error = np.sqrt(20 * p * (1 - p) / 4000)
        assert (np.abs(x[:, i].mean(axis=0) - 20 * p) < 5 * error).all()


def test_the_model_records_the_probabilities():
    with Model() as model:
        OrderedMultinomial("x", 0.3, CUT, 10, observed=[3, 2, 4, 1])
        OrderedMultinomial("y", 0.3, CUT, 10, compute_p=False, observed=[3, 2, 4, 1])
    np.testing.assert_allclose(evaluate([model["x_probs"]])[0], shares(0.3))
    assert "y_probs" not in model.named_vars


def test_cutpoints_must_increase():
    with pytest.raises(ParameterError, match="cutpoints must increase"):
        OrderedMultinomial.dist(0.0, [1.0, 0.0], 3)
