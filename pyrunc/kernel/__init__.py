"""One file per kernel interface, free of policy.  Imports only oci, errors, paths and log."""
