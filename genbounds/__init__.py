"""What can be proved, and what can be measured, about a trained network's error on data it has not seen."""
