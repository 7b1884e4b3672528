"""Take out of executed notebooks what differs from run to run: times, versions, cut-up streams.

``python notebooks/clean.py notebooks/*.ipynb``
"""

import json
import sys
from pathlib import Path

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def joined(outputs):
    """Return outputs without metadata, neighbouring pieces of the same stream in one."""
    result = []
    for output in outputs:
        if "metadata" in output:
            output["metadata"] = {}
        last = result[-1] if result else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            result.append(output)
    return result


def clean(path):
    """Clean a notebook in its place."""
    notebook = json.loads(path.read_text())
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = joined(cell["outputs"])
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        clean(Path(name))
