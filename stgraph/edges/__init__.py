"""Edge builders: each gives frame graphs their edges."""

from stgraph.edges.adjacency import (
    edge_list,
    frames_to_networkx,
    sort_edges,
    to_csr,
    to_edge_index,
    to_networkx,
    to_scipy,
)
from stgraph.edges.base import EdgeBuilder, template_edges
from stgraph.edges.full import FullEdges
from stgraph.edges.grid import GridEdges, grid_adjacency
from stgraph.edges.nearest import NearestEdges
from stgraph.edges.overlap import OverlapEdges
from stgraph.edges.radius import RadiusEdges
from stgraph.edges.similarity import SimilarityEdges
from stgraph.edges.template import TemplateEdges
from stgraph.edges.temporal import space_time_graph, space_time_hetero, temporal_edges

__all__ = [
    "EdgeBuilder",
    "FullEdges",
    "GridEdges",
    "NearestEdges",
    "OverlapEdges",
    "RadiusEdges",
    "SimilarityEdges",
    "TemplateEdges",
    "edge_list",
    "frames_to_networkx",
    "grid_adjacency",
    "sort_edges",
    "space_time_graph",
    "space_time_hetero",
    "template_edges",
    "temporal_edges",
    "to_csr",
    "to_edge_index",
    "to_networkx",
    "to_scipy",
]
