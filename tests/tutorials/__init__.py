"""What users of docker type, as data that runs against pyrunc and against docker."""
