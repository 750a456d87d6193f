"""How long the desk keeps what people wrote: sealed at rest, gone after the decision, erased when asked."""
