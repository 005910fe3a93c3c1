"""The program `run.py`, from its command line to its exit status.

Read it from the bottom up:

flat, folder, signals, device, console    files, signals, and what is shown
row, outputs, standing, checkpoints       what a run keeps
answers, boards, metrics                  what it keeps for people
proof, tickets, report, made              checks of a budget, controls, what is said in the end
shipped, alone, page                      the file with the program, and the report
resume, identity                          whether and where a run goes on
fitting, asked, meter                     training, what a stage may ask, measurements
job                                       the stages in order
processes, ending                         programs that compute together, how a run ends
predict, program                          the command line
"""
