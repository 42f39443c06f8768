"""The native API: publishing events, and the agents the other contracts speak of."""
