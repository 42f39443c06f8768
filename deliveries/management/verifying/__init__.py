"""What `manage.py verify` is made of: a receiver, a throw-away account, a worker to kill, and a count."""
