"""The networks that `run.py` can train, what they are fed, and how they learn.

table         a row a network
choices       the options of models
classifier    a network and the meaning of its logits
examples      inputs of a network, computed once from pictures
devices       the devices that divide each batch among them
train         one training step and one fit loop
networks      the model of a run, and its students
capacity      how many students there are, and of which sizes
"""

from pipelines.models.table import MODELS, Inputs, Model, Shape

__all__ = ["MODELS", "Inputs", "Model", "Shape"]
