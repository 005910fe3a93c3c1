"""Losses of distillation, and a teacher's logits."""
