"""The stages of recipes, a file a family, with its options and recipes.

A new recipe is a file here, and a row in `table`. Read it from the bottom up:

stage         what a stage and a recipe are, and what a stage may ask of a run
start         a trained network in place of the first training
files         the files of stages
training      stages of every recipe: the first training, fine-tuning, reloading
tickets       lottery tickets: sparsities of rounds, and what they are compared with
planning      the planner's view of a run: its task, its plan, its refusals
table         the families, each a file of its own, and the stages of a plan
"""
