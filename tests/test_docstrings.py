"""The examples in docstrings run, and show what they show."""

import doctest
import importlib
import pkgutil

import pytest

import vibayes

pytestmark = pytest.mark.ci

OPTIONAL = {"nuts": "nutpie", "pymc_models": "pymc"}  # packages that a folder's examples need


def examples():
    """Return the docstrings with examples of all modules, each once."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    for info in pkgutil.walk_packages(vibayes.__path__, "vibayes."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        found += [test for test in finder.find(module, info.name) if test.examples]
    return sorted(found, key=lambda test: test.name)


def package(test):
    return test.name.split(".")[1]


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name.removeprefix("vibayes."))
@pytest.mark.filterwarnings("ignore::vibayes.ApproximationWarning")
@pytest.mark.filterwarnings("ignore::vibayes.ConvergenceWarning")
def test_example(test):
    if package(test) in OPTIONAL:
        pytest.importorskip(OPTIONAL[package(test)])
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    report = []
    result = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append)
    assert not result.failed, "".join(report)


def test_what_a_user_meets_first_has_an_example():
    names = [
        "ADVI",
        "AutoVI",
        "CustomDist",
        "Data",
        "Deterministic",
        "Diagnosis",
        "Empirical",
        "FullRank",
        "FullRankADVI",
        "Group",
        "Inference",
        "KLqp",
        "LowRank",
        "MeanField",
        "Minibatch",
        "Mixture",
        "Model",
        "Normal",
        "NormalizingFlow",
        "ObjectiveFunction",
        "Operator",
        "Potential",
        "SVGD",
        "draw",
        "fit",
        "logcdf",
        "logp",
        "sample_approx",
        "set_data",
    ]
    missing = [name for name in names if ">>>" not in getattr(vibayes, name).__doc__]
    assert not missing
