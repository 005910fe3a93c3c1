"""The program `run.py`, from its command line to its exit status.

Read it from the bottom up:

flat, folder, signals, device, console    files, signals, and what is shown
row, outputs, standing, checkpoints       what a run keeps
meter, report                             what is measured, and said in the end
resume, identity                          whether and where a run goes on
job                                       the stages in order
predict, program                          the command line
"""
