"""Edge builders: each gives frame graphs their edges."""

from stgraph.edges.base import EdgeBuilder, template_edges
from stgraph.edges.full import FullEdges
from stgraph.edges.grid import GridEdges, grid_adjacency

__all__ = ["EdgeBuilder", "FullEdges", "GridEdges", "grid_adjacency", "template_edges"]
