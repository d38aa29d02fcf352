"""LiteLLM's published benchmark page, run here and set beside what was measured."""
