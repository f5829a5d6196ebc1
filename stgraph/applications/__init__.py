"""What people do with whole models: a file each, whose functions a program can call.

``demo`` and ``demo_video``, ``show``, ``predict``, ``extract`` and ``inspect``; the commands of the
same names are thin over them.
"""

__all__: list[str] = []  # files are imported by name, for each brings what it needs
