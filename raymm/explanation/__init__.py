"""What a bundle's predictions rest on."""
