"""The native API's shapes, a file for each kind of resource."""
