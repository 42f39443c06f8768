"""The native API's views, a file for each kind of resource."""
