import logging

import numpy as np
import pytensor
import pytest


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("vibayes").setLevel(logging.WARNING)


@pytest.fixture
def float32():
    with pytensor.config.change_flags(floatX="float32"):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20170101)
