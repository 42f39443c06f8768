"""How the console writes what Django would write in the way of a country."""
