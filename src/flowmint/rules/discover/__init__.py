"""Discovery: the rules that training rows satisfy, each with its evidence."""

from flowmint.rules.discover.search import Recount, discover

__all__ = ["Recount", "discover"]
