"""The commands of ``stgraph``: a file each, thin over what a program can call.

They are imported one at a time, and import what they need when they are called, so that help waits
for neither torch nor Lightning.
"""

__all__: list[str] = []
