"""What runs after what: the steps of a recipe, a run of each of them, what is measured behind it, results."""
