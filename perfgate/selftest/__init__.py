"""How often is the gate wrong? It is tried with faults of known size, and with none."""
