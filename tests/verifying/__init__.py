"""What `manage.py verify` is made of."""
