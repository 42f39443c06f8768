"""The pictures of the console in the README, taken of the service at work."""
