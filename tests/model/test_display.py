import numpy as np

from vibayes import Data, Deterministic, Model, Normal, NormalMixture, set_data
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


def test_print_is_mathematics_with_dims_and_lengths(model):
    text = str(model)
    assert text.splitlines()[0] == "<Model: 2 free, 1 observed>"
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()[1:]}
    assert lines == {
        "mu": "~ Normal(0, 10)",
        "sigma": "~ Exponential(1) (side: 2)",
        "y": "~ Normal(f(mu, x), twice) (observed) (side: 2)",
        "twice": "= Deterministic(f(sigma)) (side: 2)",
        "soft": "+ Potential(f(mu))",
        "x": "= Data (side: 2)",
    }


def test_data_have_the_lengths_that_they_have_now():
    with Model() as model:
        Data("X", np.ones((5, 2)))
        Normal("b", shape=3)
        Data("rows", np.ones(4), dims="row")
        Data("one", 2.0)
    for text in (str(model), repr(model)):
        assert "X = Data (5, 2)" in text
        assert "b ~ Normal(" in text
    assert "rows = Data (row: 4)" in str(model)
    assert "one = Data\n" in f"{model}\n"
    set_data({"X": np.ones((7, 2)), "rows": np.ones(6)}, model=model)
    assert "X = Data (7, 2)" in str(model)
    assert "rows = Data (row: 6)" in str(model)


def test_an_expression_is_a_function_of_the_nearest_variables():
    with Model() as model:
        a = Normal("a")
        b = Deterministic("b", a * 2)
        Deterministic("c", b + a * b)
        Deterministic("same", a)
        Deterministic("constant", Normal.dist(0, 1) * 0)
        NormalMixture("m", w=[0.5, 0.5], mu=a + np.array([0.0, 1.0]), sigma=1.0)
    text = str(model)
    assert "b = Deterministic(f(a))" in text
    assert "c = Deterministic(f(a, b))" in text
    assert "same = Deterministic(f(a))" in text
    assert "constant = Deterministic(f())" in text
    assert "f(a)" in text[text.index("m ~") :].splitlines()[0]


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
