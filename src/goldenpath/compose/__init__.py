"""The one place that names concrete stores, agents and servers, and joins them."""
