from vibayes import Model, Normal
from vibayes.distributions.base import distribution_of


def test_repr(model):
    text = repr(model)
    assert text.splitlines()[0] == "<Model: 2 free, 1 observed>"
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()[1:]}
    assert list(lines) == ["mu", "sigma", "y", "twice", "soft", "x"]
    assert lines["mu"] == "~ Normal(mu=0, sigma=10)"
    assert lines["sigma"] == "~ Exponential(lam=1) (side)"
    assert lines["y"] == "~ Normal(mu=<expression>, sigma=twice) (observed) (side)"
    assert lines["twice"].startswith("= Deterministic")
    assert lines["soft"].startswith("+ Potential")
    assert lines["x"] == "= Data (side)"
    assert repr(Model("lake")) == "<Model 'lake': 0 free, 0 observed>"


def test_repr_html_is_escaped():
    with Model("<i>") as model:
        Normal("a<b", shape=(2, 3))
    html = model._repr_html_()
    assert html.startswith("<table>")
    assert "&lt;i&gt;::a&lt;b" in html
    assert "<i>" not in html
    assert "(2, 3)" in html


def test_repr_of_a_distribution_is_that_of_its_parameters(model):
    assert repr(distribution_of(model["mu"])) == "Normal(mu=0, sigma=10)"
