import numpy as np
import pytest

import vibayes as vb


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        s = vb.HalfNormal("s")
        vb.Normal("y", 0, s, observed=[1.0, 2.0])
    return model


def test_nothing_is_wrong_at_the_initial_point(model, capsys):
    for fn in ("logp", "dlogp", "random"):
        model.debug(fn=fn)
        assert capsys.readouterr().out.endswith("No problems found\n")


def test_variables_at_fault_are_told_with_their_parameters(model, capsys):
    model.debug({"s_log__": np.array(-np.inf)}, verbose=True)
    told = capsys.readouterr().out
    assert "The variable 'y' has log density nan (2 of 2 elements):" in told
    assert "  sigma: 0.0" in told
    assert "  value: [1.0, 2.0]" in told
    assert "  Normal(mu=0, sigma=s)" in told


def test_gradients_at_fault_are_told(model, capsys):
    model.debug({"s_log__": np.array(-np.inf)}, fn="dlogp")
    told = capsys.readouterr().out
    assert "The variable 'y' has a gradient that is not finite, by 's_log__'" in told


def test_what_raises_is_told(capsys):
    with vb.Model() as model:
        n = vb.Data("n", np.ones(3), dims="row")
        vb.Normal("y", n, observed=vb.Data("obs", np.ones(3)))
    model.set_data("obs", np.ones(2))
    model.debug()
    assert "The variable 'y' raises ValueError" in capsys.readouterr().out


def test_what_to_look_at_is_checked(model):
    with pytest.raises(ValueError, match="fn must be 'logp', 'dlogp' or 'random', got 'x'"):
        model.debug(fn="x")
