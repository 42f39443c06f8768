"""What delivering costs, beside what people would otherwise run: `make bench`, and decision record 46."""
