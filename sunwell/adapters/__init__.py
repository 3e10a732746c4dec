"""Ways from Sunwell into other libraries, each loaded on use."""
