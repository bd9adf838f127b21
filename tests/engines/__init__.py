"""Real engines with pyrunc-oci as their runtime; `make test-engines` runs them."""
