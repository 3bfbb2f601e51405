"""What moves a measure although the function of the network stays the same."""
