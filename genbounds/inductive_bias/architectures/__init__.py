"""Architectures on the same task: how many nats each leaves to be found, in one kind of hypothesis space.

Three kinds of space, none of which stands for the others:

* **kernels**: the Gaussian process that infinitely wide random networks become, conditioned exactly on the training
  targets. The information is exact, at any level.
* **trained**: networks of finite width, trained from random weights until they fit. Counted, to about the logarithm of
  their number.
* **random**: random weights of finite networks, conditioned on a train loss. Two samplers, which have to agree.

All architectures meet the same examples at the same levels of the same loss; what is repeated are draws of training and
test examples from the data.
"""
