"""Beyond one machine: reading, fitting, minting and balancing on a Ray cluster (extra ``ray``).

Folders that are written to, and tables that are read in pieces, must be the same on all nodes.
"""

from __future__ import annotations

from flowmint.cluster.connection import connected
from flowmint.cluster.fit import fit_on_cluster
from flowmint.cluster.jobs import Cluster
from flowmint.cluster.mint import mint_on_cluster, mint_parts_on_cluster

__all__ = ["Cluster", "connected", "fit_on_cluster", "mint_on_cluster", "mint_parts_on_cluster"]
