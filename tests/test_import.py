"""``import vibayes`` takes PyTensor's time, and little more."""

import subprocess
import sys

SLOW = [
    "arviz",
    "dask",
    "graphviz",
    "h5netcdf",
    "IPython",
    "matplotlib",
    "nutpie",
    "pandas",
    "pymc",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.stats",
    "xarray",
    "zarr",
]


def test_nothing_slow_is_imported():
    script = f"import sys, vibayes; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_a_search_of_a_small_model_imports_no_compiler():
    script = (
        "import sys, vibayes as vb\n"
        "with vb.Model() as model: vb.Normal('x')\n"
        "vb.fit(method='auto', model=model, random_seed=1, progressbar=False)\n"
        "print([name for name in ['numba', 'pandas', 'xarray'] if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
