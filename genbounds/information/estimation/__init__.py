"""Information from samples: estimates, which prove nothing; upper limits, which may stand in a bound; the family."""
