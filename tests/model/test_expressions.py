import numpy as np

from vibayes import Deterministic, Potential
from vibayes.backend.modes import evaluate


def test_deterministic_names_a_copy(model):
    with model:
        again = Deterministic("again", model["twice"])
        constant = Deterministic("constant", [1.0, 2.0], dims="side")
    assert model["twice"].name == "twice"
    assert again.name == "again"
    np.testing.assert_array_equal(evaluate([constant])[0], [1.0, 2.0])
    assert Deterministic("from_outside", 3.0, model=model) in model.deterministics
    assert Potential("from_outside_too", 3.0, model=model) in model.potentials
