"""Workers: started, bounded, gated, and kept with their results."""
