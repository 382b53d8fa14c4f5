"""Create-only storage of blobs, versions and promotions."""
