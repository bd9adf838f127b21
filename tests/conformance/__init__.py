"""runtime-tools' validation suite against pyrunc-oci, runc and crun; `make conformance` runs it."""
