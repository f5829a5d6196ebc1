"""Put a demonstration's model into the package, where `stgraph show` finds it.

    stgraph demo --seed 0 --out runs/demo
    python benchmarks/ship.py --run runs/demo

Writes `stgraph/weights/shipped/motion_small.safetensors`, and beside it the configuration of model
and clips, with what the demonstration said of itself: accuracy, command, machine and commit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml
from safetensors.torch import save

from stgraph.training.checkpoints import read
from stgraph.writing import write_whole

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "stgraph/weights/shipped/motion_small.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="of `stgraph demo`")
    options = parser.parse_args()
    results = json.loads((options.run / "results.json").read_text("utf-8"))
    run = results["runs"][0]
    told = {name: results[name] for name in ("command", "machine", "commit", "date")}
    told |= {"accuracy": str(run["accuracy"]), "clips tested": str(run["test_clips"])}
    weights = read(options.run / "dynamic.ckpt")["state_dict"]
    own = (name for name in weights if name.startswith("model."))  # without the auxiliary loss
    SHIPPED.parent.mkdir(exist_ok=True)
    write_whole(SHIPPED, save({name: weights[name].contiguous() for name in own}, told))
    config = yaml.safe_load((ROOT / "configs/demo.yaml").read_text("utf-8"))
    described = {
        "model": {"model": config["model"]["model"]},
        "data": {"test": config["data"]["test"]},
    }
    lines = [f"# {name}: {value}" for name, value in told.items()]
    text = "\n".join([*lines, yaml.safe_dump(described, sort_keys=False)])
    write_whole(SHIPPED.with_suffix(".yaml"), text.encode())
    print(f"wrote {SHIPPED}: {SHIPPED.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
