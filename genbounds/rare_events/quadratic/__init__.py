"""Weighted sums of squares of Gaussian variables: the probability that one is small, at any depth, by four routes.

`tails` is the one to call. It inverts the Laplace transform along a contour (`inversion`); a mixture of chi-squared
laws (`ruben`), importance sampling (`tilting`) and the saddlepoint approximation (`saddlepoint`) are independent of it.
"""
