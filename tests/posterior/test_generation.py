import arviz

from vibayes.posterior.generation import arviz_generation


def test_the_generation_is_that_of_the_arviz_that_is_imported():
    assert arviz_generation() == int(arviz.__version__.split(".")[0])
