"""``python -m stgraph`` is the command ``stgraph``."""

from stgraph.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
