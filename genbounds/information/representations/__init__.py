"""A checkpoint layer by layer: representations of training and test inputs, their transport distances, funnels."""
