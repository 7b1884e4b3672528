"""The example scripts of the docs do what they say."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


@pytest.mark.slow
def test_digits_autoencoder():
    """Two numbers an image, from an encoder, tell far more than two principal components."""
    pytest.importorskip("sklearn")
    result = runpy.run_path(str(EXAMPLES / "digits_autoencoder.py"))
    shares = result["shares"]
    assert 0.6 < shares["PCA"] < 0.8
    assert shares["autoencoder"] < 0.75 * shares["PCA"]
    assert result["decoded"].shape == result["test"].shape
    hist = result["approx"].hist
    assert hist[-200:].mean() < 0.6 * hist[:10].mean()
