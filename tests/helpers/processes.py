"""Python code in several processes that JAX joins, on one machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import vibayes

JOINED = """
import sys
import jax
rank, count, port = map(int, sys.argv[1:4])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(
    f"localhost:{port}", count, rank, heartbeat_timeout_seconds=30, shutdown_timeout_seconds=10
)
"""


def run_joined(code, count, timeout=300, **variables):
    """Return the exit code, output and errors of each of several processes of the same code.

    The code finds ``rank`` and ``count``, and in its environment further ``variables``.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = (
        os.environ
        | variables
        | {
            "PYTHONPATH": str(Path(vibayes.__file__).parents[1]),
            "XLA_FLAGS": "",
        }
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", JOINED + code, str(rank), str(count), str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in running]
    finally:
        for process in running:
            process.kill()
    return [
        (process.returncode, without_notes(out), errors)
        for process, (out, errors) in zip(running, outputs, strict=True)
    ]


def without_notes(output):
    """Return what processes print without what the network between them does."""
    return "".join(line for line in output.splitlines(True) if "[Gloo]" not in line)
