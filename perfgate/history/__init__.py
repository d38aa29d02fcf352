"""Which release made it slow? Releases measured beside one anchor, the steps between them, and a search for one."""
