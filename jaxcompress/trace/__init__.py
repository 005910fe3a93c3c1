"""Walking the equations of a traced function with a table of rules, one rule a primitive."""
