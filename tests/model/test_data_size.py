import numpy as np

import vibayes as vb
from vibayes.model.data_size import data_size, sample_size


def minibatched(n, batch=10):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        y = np.zeros(n)
        vb.Normal("y", mu, 1, observed=vb.Minibatch(y, batch_size=batch), total_size=n)
    return model


def test_minibatches_count_as_the_whole_data():
    assert data_size(minibatched(500)) == 500


def test_size_of_a_sample():
    model = minibatched(500)
    assert sample_size(model) is None
    assert sample_size(model, numbers=100) == 500  # too few to be worth a sample
    large = minibatched(20_000)
    assert sample_size(large, numbers=5_000) == 5_000
    with vb.Model() as whole:
        mu = vb.Normal("mu", 0, 1)
        vb.Normal("y", mu, 1, observed=np.zeros(20_000))
    assert sample_size(whole, numbers=10) is None
