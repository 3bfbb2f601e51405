"""From a model and its inputs to a record of routing: hooks on router modules, whatever the family of the model."""
