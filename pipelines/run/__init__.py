"""The program `run.py`, from its command line to its exit status.

Read it from the bottom up:

flat, folder, signals, device, console    files, signals, and what is shown
row, outputs, standing, checkpoints       what a run keeps
proof, tickets, report, made, shipped     checks of a budget, controls, what is said in the end
resume, identity                          whether and where a run goes on
fitting, asked, meter                     training, what a stage may ask, measurements
job                                       the stages in order
predict, program                          the command line
"""
