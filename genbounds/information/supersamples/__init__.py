"""The experiment behind conditional mutual information: many trainings, each on a random half of the same examples.

`experiment` runs it, `models.ensembles` trains many networks at once, `records` keeps what all bounds follow from.
"""
