"""PostgreSQL and Redis servers for tests only: own port, throw-away folder, gone with their owner."""
