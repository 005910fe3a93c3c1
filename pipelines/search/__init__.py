"""A search for small networks of a family: by width, depth and resolution, within a budget.

Read it from the bottom up:

space       the members of a family on a grid, from the whole network down
front       which of some networks no other beats, and the volume that they dominate
costs       bytes and measured speed of a member, kept in a file
trainings   short trainings, each of which goes on from the last; their results, kept in a file
proposals   the next member to try: by what is known, or at random
halving     the search: rounds of ever fewer members and ever longer trainings; random search
choice      the front, the member of it that is trained in full, and the file of both
"""
