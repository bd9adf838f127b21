"""Documents of the OCI specifications as frozen records.  Nothing in here does I/O."""
