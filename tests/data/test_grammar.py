"""The sentences are what the grammar says; a classifier learns them, and stays right when small."""

import jax
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression

import jaxcompress as jc
from jaxcompress.nnx import functional
from nets.text import TextClassifier, TextEncoderConfig
from pipelines.data import grammar
from pipelines.models.examples import Examples
from pipelines.models.train import TrainState, fit, make_logits, make_step, score

NOUNS = {False: set("dog cat king girl".split())}
NOUNS[True] = {f"{noun}s" for noun in NOUNS[False]}
VERBS = {True: set("see hear like help".split())}
VERBS[False] = {f"{verb}s" for verb in VERBS[True]}


def words_of(row):
    return [grammar.WORDS[token] for token in row if token]


def noun_phrases(words, start):
    """All ends of noun phrases that begin here, and whether their noun is plural."""
    for plural in NOUNS:
        if words[start : start + 1] == ["the"] and {*words[start + 1 : start + 2]} & NOUNS[plural]:
            end = start + 2
            yield end, plural
            if words[end : end + 1] == ["that"]:
                yield from ((e, plural) for e in verb_phrases(words, end + 1, plural))
                for inner, number in noun_phrases(words, end + 1):
                    if {*words[inner : inner + 1]} & VERBS[number]:
                        yield inner + 1, plural


def verb_phrases(words, start, plural):
    """All ends of verb phrases that begin here and agree."""
    if {*words[start : start + 1]} & VERBS[plural]:
        yield start + 1
        yield from (end for end, _ in noun_phrases(words, start + 1))


def is_sentence(words):
    ends = (e for s, plural in noun_phrases(words, 0) for e in verb_phrases(words, s, plural))
    return len(words) in ends


def test_labels_are_what_a_parser_finds():
    tokens, labels = grammar.sentences(400, seed=0)
    assert [is_sentence(words_of(row)) for row in tokens] == (labels == 1).tolist()
    assert tokens.shape == (400, grammar.LENGTH) and labels.mean() == 0.5


def test_equal_seeds_give_equal_sentences():
    (first, _), (again, _), (other, _) = (grammar.sentences(20, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def counted(tokens):
    return np.stack([np.bincount(row, minlength=len(grammar.WORDS))[1:] for row in tokens])


def test_who_counts_words_can_but_guess():
    (train, labels), (test, truth) = grammar.sentences(2000, 0), grammar.sentences(2000, 1)
    model = LogisticRegression(max_iter=1000).fit(counted(train), labels)
    assert abs(model.score(counted(test), truth) - 0.5) < 0.04


@pytest.mark.exhaustive
def test_a_classifier_learns_it_and_stays_right_when_small(tmp_path):
    tokens, labels = grammar.sentences(9000, 0)
    train = Examples(inputs=tokens[1000:], labels=labels[1000:])
    words, positions = len(grammar.WORDS), grammar.LENGTH
    config = TextEncoderConfig(
        vocabulary=words, positions=positions, width=32, depth=2, heads=4, hidden=64
    )
    net = functional(lambda rngs: TextClassifier(config, 2, rngs=rngs))
    tx = optax.adam(optax.warmup_cosine_decay_schedule(0, 3e-3, 50, 372))
    params, stats = net.init(jax.random.key(0))
    step = make_step(net, lambda tokens: tokens, tx)
    start = TrainState(params, stats, tx.init(params))
    (*_, tick) = fit({6: step}, start, train, batch_size=128, seed=(0,))
    params = jax.device_get(tick.state.params)

    logits = make_logits(net, lambda tokens: tokens, 1000)

    def accuracy(params):
        return score(logits(params, stats, tokens[:1000]), labels[:1000]).accuracy

    learned = accuracy(params)
    assert learned > 0.9
    for small in (jc.quantize(params), jc.kmeans(params, 32)):
        size = jc.save(tmp_path / "small.npz", small)
        assert size < sum(leaf.nbytes for leaf in jax.tree.leaves(params)) / 2
        assert accuracy(jc.load(tmp_path / "small.npz")) > learned - 0.02
    shallow = jc.drop_blocks(params, "encoder/blocks", keep=[0])
    assert 0.3 < accuracy(shallow) < learned
