"""Bundle in, process out: the runtime specification compiled to a launch plan."""
