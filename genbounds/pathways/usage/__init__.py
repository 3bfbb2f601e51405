"""Which experts are used, by how much, together with which, for what, and how settled that is.

Samples are the independent units: tokens of one sample are not, so that every standard error and every null of this
folder leaves out, permutes or draws whole samples, or says what else it takes for granted. No data is never a healthy
model: here are numbers only, and the reader judges.
"""
