import numpy as np
import pytest

import vibayes as vb
from vibayes import __main__ as main
from vibayes.formulas import level_of, model_of_formula, read_table

pandas = pytest.importorskip("pandas")
pytest.importorskip("formulae")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    n = 300
    g, x, effects = rng.integers(0, 6, n), rng.normal(50, 5, n), rng.normal(0, 1.5, 6)
    return pandas.DataFrame(
        {
            "y": 3 + 0.4 * x + effects[g] + rng.normal(0, 1, n),
            "x": x,
            "g": [f"g{i}" for i in g],
            "colour": rng.choice(["blue", "green", "red"], n),
            "count": rng.poisson(np.exp(0.1 * (x - 50))),
            "bought": rng.integers(0, 2, n),
        }
    )


def test_coefficients_are_those_of_least_squares(table):
    model = model_of_formula("y ~ x + colour", table)
    assert [rv.name for rv in model.free_RVs] == ["x", "colour", "Intercept_at_means", "sigma"]
    assert model.coords["colour_columns"] == ("green", "red")
    approx = vb.fit(method="laplace", model=model, random_seed=1, diagnose=False)
    posterior = approx.sample(1000, random_seed=1).posterior
    X = np.column_stack([np.ones(300), table["x"], table["colour"] == "green"])
    X = np.column_stack([X, table["colour"] == "red"]).astype(float)
    expected = np.linalg.lstsq(X, table["y"])[0]
    found = [posterior[name].values.mean(axis=(0, 1)) for name in ("Intercept", "x", "colour")]
    np.testing.assert_allclose(np.concatenate([np.ravel(f) for f in found]), expected, atol=0.15)


def test_groups_have_a_scale_and_a_coefficient_each(table):
    model = model_of_formula("y ~ x + (x|g)", table)
    names = [rv.name for rv in model.free_RVs]
    assert {"1|g", "1|g_sigma", "x|g", "x|g_sigma"} <= set(names)
    assert model.coords["1|g_levels"] == tuple(f"g{i}" for i in range(6))
    point = model.initial_point()
    assert point["x|g"].shape == (6,)
    (mean,) = model.replace_rvs_by_values([model["y"].owner.inputs[2]])
    free = ["x", "1|g", "x|g", "Intercept_at_means"]
    point |= {name: np.zeros_like(point[name]) for name in free}
    point["1|g"] = np.where(np.arange(6) == 2, 1.0, 0.0)
    inputs = {v: point[v.name] for v in model.value_vars if v.name in free}
    at_group = mean.eval(inputs, mode="FAST_COMPILE")
    np.testing.assert_array_equal(at_group, table["g"] == "g2")


@pytest.mark.parametrize(
    ("formula", "family", "last"),
    [
        ("bought ~ x", "bernoulli", "Bernoulli"),
        ("count ~ 0 + x", "poisson", "Poisson"),
        ("count ~ 1", "negative_binomial", "NegativeBinomial"),
    ],
)
def test_families(table, formula, family, last):
    model = model_of_formula(formula, table, family)
    name = formula.partition(" ")[0]
    assert f"{name} ~ {last}" in str(model)
    point = model.initial_point()
    inputs = {v: point[v.name] for v in model.value_vars}
    assert np.isfinite(model.logp().eval(inputs, mode="FAST_COMPILE"))
    assert ("Intercept" in model.named_vars) == ("0" not in formula)


@pytest.mark.parametrize(
    ("formula", "family", "text"),
    [
        ("y ~ z", "normal", "there is no column 'z'; there are y, x, g, colour, count, bought"),
        ("y ~ x + ", "normal", "cannot be read"),
        ("x", "normal", "has no response: write it as"),
        ("y ~ x", "poisson", "'y' must be whole numbers from 0 on, for family 'poisson'"),
        ("count ~ x", "bernoulli", "'count' must be 0 or 1"),
        ("colour ~ x", "normal", "'colour' must be a column of numbers"),
    ],
)
def test_what_is_wrong_is_told(table, formula, family, text):
    with pytest.raises(ValueError, match=text):
        model_of_formula(formula, table, family)


def test_the_command_line_fits_a_file(table, tmp_path, capsys):
    path = tmp_path / "my.csv"
    table.to_csv(path, index=False)
    argv = ["--data", str(path), "--formula", "y ~ x", "--plot", str(tmp_path / "plot.png")]
    assert main.main([*argv, "--method", "laplace"]) == 0
    out = capsys.readouterr().out
    assert "y ~ x, by my.csv." in out
    assert "Pareto k" in out
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--data", "my.csv"], "a CSV file needs --formula"),
        (["--formula", "y ~ x"], "--formula needs the name of a CSV file"),
        (["--data", "nowhere.csv", "--formula", "y ~ x"], "--data: there is no file nowhere.csv"),
        (["--data", ".", "--formula", "y ~ x"], ". is no table in CSV"),
    ],
)
def test_bad_arguments_are_told_before_any_work(argv, text, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(argv)
    assert stop.value.code == 2
    assert text in capsys.readouterr().err


def test_without_the_packages(table, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "formulae", None)
    with pytest.raises(ImportError, match="--formula needs formulae: pip install formulae"):
        model_of_formula("y ~ x", table)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas formulae: pip install pandas formulae"):
        read_table(tmp_path / "my.csv")


def test_levels_of_columns():
    assert level_of("1|g[a]") == "a"
    assert level_of("c[v]|g[a]") == "v, a"
