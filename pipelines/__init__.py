"""From data to a compressed file: loading, training, stages, report.

Read it from the bottom up:

options/option    what an option is, and the settings of a run
data, features    pictures and labels; what is computed from pictures
models            the networks, their inputs, and the training step
search            a search for small networks of a family
stages            the stages and recipes, a file a family, each with its options
options           all options in one table: the command line, checks, and pages made from it
run               the program: stages in order, checkpoints, reports
"""
