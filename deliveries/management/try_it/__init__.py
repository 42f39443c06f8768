"""What `manage.py up` is made of: the whole service in one process, to try it out."""
