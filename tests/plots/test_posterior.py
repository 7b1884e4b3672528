import pytest

import vibayes as vb


@pytest.fixture(scope="module")
def approx():
    with vb.Model():
        vb.Normal("x")
        vb.Normal("z", shape=2)
        return vb.MeanField()


@pytest.mark.parametrize("of", [lambda approx: approx, lambda approx: approx.sample(50)])
@pytest.mark.usefixtures("pyplot")
def test_posteriors_are_drawn(approx, of):
    assert vb.plot_posterior(of(approx), var_names=["x"], color="LightSeaGreen") is not None


def test_what_is_no_posterior_is_refused():
    with pytest.raises(TypeError, match="plot_posterior: data: expected an approximation"):
        vb.plot_posterior(3)
