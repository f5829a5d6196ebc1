"""``stgraph demo-video``: from files of videos to answers, metrics, graphs and a page."""

from stgraph.commands.described import described

__all__ = ["demo_video"]

demo_video = described("demo_video")
