"""What lies on disk: blobs, image names, layers, containers, volumes."""
