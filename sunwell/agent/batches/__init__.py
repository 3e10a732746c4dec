"""Many tasks under one lens: planned by price, carried out, written down as results."""
