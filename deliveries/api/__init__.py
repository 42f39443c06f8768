"""The HTTP doors: three contracts that share how a request is read, and nothing of what is answered."""
