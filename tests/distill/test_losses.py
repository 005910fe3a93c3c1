"""Losses of distillation by hand, by finite differences, at their limits; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc

LABELS = np.array([2, 0])
rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(2, 2, 3)).astype("f")


learn = jax.jit(jax.value_and_grad(jc.distillation_loss), static_argnames="soft_weight")
"""The loss and its gradient."""


def log_softmax(x):
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def by_hand(student, teacher, labels, temperature, soft_weight):
    """The formula in float64, term by term."""
    student, teacher = np.asarray(student, float), np.asarray(teacher, float)
    log_p, log_q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    soft = np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=-1))
    hard = -np.mean([log_softmax(row)[label] for row, label in zip(student, labels, strict=True)])
    return soft_weight * temperature**2 * soft + (1 - soft_weight) * hard


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("soft_weight", [0.0, 0.3, 1.0])
def test_the_formula(temperature, soft_weight):
    settings = {"temperature": temperature, "soft_weight": soft_weight}
    found = jc.distillation_loss(STUDENT, TEACHER, LABELS, **settings)
    expected = by_hand(STUDENT, TEACHER, LABELS, temperature, soft_weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_numbers_anybody_can_check():
    teacher, student = np.log([[0.75, 0.25]]), np.log([[0.25, 0.75]])
    soft = 0.75 * np.log(3) - 0.25 * np.log(3)
    for weight, expected in ((1, soft), (0, np.log(4)), (0.5, (soft + np.log(4)) / 2)):
        found = jc.distillation_loss(student, teacher, [0], temperature=1, soft_weight=weight)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_compiled_loss_is_the_same_and_its_settings_may_be_traced():
    eager = jc.distillation_loss(STUDENT, TEACHER, LABELS, temperature=2.0, soft_weight=0.4)

    @jax.jit
    def compiled(student, teacher, labels, temperature, soft_weight):
        settings = {"temperature": temperature, "soft_weight": soft_weight}
        return jc.distillation_loss(student, teacher, labels, **settings)

    for settings in ((2.0, 0.4), (jnp.float32(2), jnp.float32(0.4))):
        np.testing.assert_allclose(compiled(STUDENT, TEACHER, LABELS, *settings), eager, rtol=1e-6)


def test_more_axes_are_a_larger_batch():
    twice = [np.stack([x, x]) for x in (STUDENT, TEACHER, LABELS)]
    np.testing.assert_allclose(learn(*twice)[0], learn(STUDENT, TEACHER, LABELS)[0], rtol=1e-6)


def losses_of_everything():
    """Losses as functions of what is trained, and where to differentiate them."""
    student, teacher = rng.normal(size=(2, 3, 4))
    maps, wide = rng.normal(size=(3, 2, 2, 2)), rng.normal(size=(3, 2, 2, 5))
    labels = np.array([0, 3, 1])
    return {
        "logits": (lambda x: jc.distillation_loss(x, teacher, labels), student),
        "near": (lambda x: jc.distillation_loss(x, student + 0.01 * teacher, labels), student),
        "features": (
            lambda x: jc.distill.feature_matching_loss(x[0], wide, projection=x[1]),
            (maps, wide[0, 0]),
        ),
        "attention": (lambda x: jc.distill.attention_transfer_loss(x, wide), maps),
        "distances": (lambda x: jc.distill.relational_distance_loss(x, wide), maps),
        "angles": (lambda x: jc.distill.relational_angle_loss(x, wide), maps),
    }


@pytest.mark.slow
def test_gradients_by_finite_differences():
    step = 1e-6
    with jax.enable_x64(True):
        for name, (loss, at) in losses_of_everything().items():
            along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), at)
            compiled = jax.jit(jax.value_and_grad(loss))
            ahead, behind = (
                compiled(jax.tree.map(lambda x, d: x + sign * step * d, at, along))[0]  # noqa: B023
                for sign in (1, -1)
            )
            slopes = jax.tree.leaves(compiled(at)[1])
            expected = sum(map(np.vdot, slopes, jax.tree.leaves(along)))
            found = (ahead - behind) / (2 * step)
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


def test_the_gradient_of_the_soft_term_by_hand():
    _, found = learn(STUDENT, TEACHER, LABELS, temperature=4.0, soft_weight=1.0)
    q, p = (np.exp(log_softmax(x.astype(float) / 4)) for x in (STUDENT, TEACHER))
    np.testing.assert_allclose(found, 4 * (q - p) / 2, rtol=1e-5, atol=1e-7)


def three(loss):
    """Of two rows and a third of zeros: pairs of two samples are all alike."""
    return jax.jit(lambda s, t: loss(*(jnp.pad(x, ((0, 1), (0, 0))) for x in (s, t))))


LOSSES = {
    "logits": jax.jit(lambda s, t: jc.distillation_loss(s, t, LABELS)),
    "features": jax.jit(jc.distill.feature_matching_loss),
    "attention": jax.jit(
        lambda s, t: jc.distill.attention_transfer_loss(s[..., None], t[..., None])
    ),
    "distances": three(jc.distill.relational_distance_loss),
    "angles": three(jc.distill.relational_angle_loss),
}


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_reaches_the_teacher(name):
    to_student, to_teacher = jax.grad(LOSSES[name], argnums=(0, 1))(STUDENT, TEACHER)
    assert np.any(np.asarray(to_student)) and not np.any(np.asarray(to_teacher))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "logits"])
def test_a_perfect_student_has_nothing_to_learn(name):
    value, slope = jax.value_and_grad(LOSSES[name])(TEACHER, TEACHER)
    np.testing.assert_allclose(value, 0, atol=1e-12)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    narrow = [jnp.asarray(x, jnp.bfloat16) for x in (STUDENT, TEACHER)]
    found = LOSSES[name](*narrow)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, LOSSES[name](*(x.astype("f") for x in narrow)), rtol=1e-6)


def test_hot_softmax_matches_logits():
    """`T^2 KL` tends to half of the variance of the logits' differences (Hinton et al., 2.1)."""
    expected = np.mean(np.var((STUDENT - TEACHER).astype(float), axis=1)) / 2
    for temperature, tolerance in ((30.0, 2e-2), (1000.0, 1e-2)):
        settings = {"temperature": temperature, "soft_weight": 1.0}
        found, _ = learn(STUDENT, TEACHER, LABELS, **settings)
        np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_cold_softmax_asks_for_the_teachers_answer():
    """`T KL` tends to how much more the student gives to its own answer than to the teacher's."""
    settings = {"temperature": 1e-3, "soft_weight": 1.0}
    teacher = np.array([[3.0, 0, 1]], "f")
    found = jc.distillation_loss(np.array([[1.0, 0, 2]], "f"), teacher, [0], **settings)
    np.testing.assert_allclose(found / 1e-3, 1.0, rtol=1e-4)
    assert jc.distillation_loss(2 * teacher, teacher, [0], **settings) == 0


@pytest.mark.parametrize("scale", [1e4, 1e30, 3e38])
def test_large_logits_stay_finite(scale):
    teacher, student = np.array([[0.5, 1, -1]], "f"), np.array([[1.0, 0.5, -1]], "f")
    for temperature in (0.01, 1.0, 10.0):
        large = np.float32(scale) * teacher
        value, slope = learn(student, large, np.array([1]), temperature=temperature)
        assert np.isfinite(value) and np.isfinite(slope).all()


def test_classes_that_are_ruled_out():
    student = np.array([[1.0, 2.0, -np.inf], [0.0, 1.0, -np.inf]], "f")
    teacher = np.array([[2.0, 1.0, -np.inf], [0.0, 0.5, -np.inf]], "f")
    value, slope = learn(student, teacher, np.array([0, 1]))
    expected = by_hand(student[:, :2], teacher[:, :2], [0, 1], 3.0, 0.7)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.isfinite(slope).all() and not slope[:, 2].any()
    # What the student alone rules out can never be made good.
    teacher[0, 2] = 0
    assert jc.distillation_loss(student, teacher, [0, 1]) == np.inf
    assert np.isfinite(jc.distillation_loss(student, teacher, [0, 1], soft_weight=0.0))
    assert np.isfinite(jc.distillation_loss(teacher, student, [0, 1], soft_weight=1.0))


@pytest.mark.slow
def test_samples_that_do_not_count():
    """As if they were not there, whatever they hold: the loss and its gradient."""
    where = np.array([[True, False, True], [False, False, True]])
    student, teacher = rng.normal(size=(2, 2, 3, 4)).astype("f")
    labels = rng.integers(0, 4, (2, 3))
    expected, slope = learn(student[where], teacher[where], labels[where])
    for junk, label in ((np.nan, -1), (np.inf, -100), (3e38, 99)):
        for logits in (student, teacher):
            logits[~where] = junk
        labels[~where] = label
        found, found_slope = learn(student, teacher, labels, where=where)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_allclose(found_slope[where], slope, rtol=1e-5, atol=1e-7)
        assert not found_slope[~where].any()
        eager = jc.distillation_loss(student, teacher, labels, where=where)
        np.testing.assert_allclose(eager, expected, rtol=1e-6)
    assert np.isnan(learn(student, teacher, labels, where=np.zeros_like(where))[0])


def test_a_teacher_alone_needs_no_labels():
    found = jc.distillation_loss(STUDENT, TEACHER, None, soft_weight=1.0)
    expected = jc.distillation_loss(STUDENT, TEACHER, LABELS, soft_weight=1.0)
    np.testing.assert_array_equal(found, expected)


SOFT = np.array([[0.7, 0.0, 0.3], [0.25, 0.25, 0.5]])


@pytest.mark.parametrize("soft_weight", [0.0, 0.4, 1.0])
def test_labels_may_be_probabilities(soft_weight):
    settings = {"temperature": 2.0, "soft_weight": soft_weight}
    hard = -np.mean(np.sum(SOFT * log_softmax(STUDENT.astype(float)), axis=-1))
    soft = by_hand(STUDENT, TEACHER, LABELS, 2.0, 1.0)
    found = jc.distillation_loss(STUDENT, TEACHER, SOFT, **settings)
    np.testing.assert_allclose(found, soft_weight * soft + (1 - soft_weight) * hard, rtol=1e-5)
    assert found.dtype == jnp.float32


def test_probabilities_anybody_can_check():
    student = np.log([[0.25, 0.75]])
    for labels, expected in (
        ([[1, 0]], np.log(4)),
        ([[0.5, 0.5]], np.log(4) - np.log(3) / 2),
        ([[0.25, 0.75]], np.log(4) - 0.75 * np.log(3)),
    ):
        labels = np.array(labels, "f")
        found = jc.distillation_loss(student, student, labels, soft_weight=0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_hot_probabilities_are_classes():
    # As many rows as classes: the dtype decides, not the shape.
    student, teacher = rng.normal(size=(2, 3, 3)).astype("f")
    labels = np.array([2, 0, 1])
    value, slope = learn(student, teacher, labels)
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        found, found_slope = learn(student, teacher, jnp.eye(3, dtype=dtype)[labels])
        np.testing.assert_allclose(found, value, rtol=1e-6)
        np.testing.assert_allclose(found_slope, slope, rtol=1e-5, atol=1e-7)


def test_the_gradient_of_probabilities_by_hand():
    learn_labels = jax.grad(lambda s, t, p: jc.distillation_loss(s, t, p, soft_weight=0.0), (0, 2))
    slope, to_labels = learn_labels(STUDENT, TEACHER, SOFT.astype("f"))
    softmax = np.exp(log_softmax(STUDENT))
    np.testing.assert_allclose(slope, (softmax - SOFT) / 2, rtol=1e-5, atol=1e-7)
    assert not to_labels.any()


@pytest.mark.slow
def test_mixup_of_narrow_types_sums_to_1_closely_enough():
    for dtype in (jnp.bfloat16, jnp.float16):
        mixed = (1 - 0.1) * jnp.eye(1000, dtype=dtype)[:2] + jnp.asarray(0.1 / 1000, dtype)
        logits = jnp.asarray(rng.normal(size=(2, 1000)), dtype)
        assert np.isfinite(jc.distillation_loss(logits, logits, mixed))
        assert np.isfinite(jax.jit(jc.distillation_loss)(logits, logits, mixed))


def test_probabilities_of_samples_that_do_not_count():
    where = np.array([True, False])
    for junk in (np.nan, np.inf, 7.0, -1.0):
        labels = SOFT.copy()
        labels[1] = junk
        expected, slope = learn(STUDENT[:1], TEACHER[:1], SOFT[:1])
        found, found_slope = learn(STUDENT, TEACHER, labels, where=where)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_allclose(found_slope[:1], slope, rtol=1e-5, atol=1e-7)
        assert not found_slope[1].any()
        eager = jc.distillation_loss(STUDENT, TEACHER, labels, where=where)
        np.testing.assert_allclose(eager, expected, rtol=1e-6)
        assert np.isnan(learn(STUDENT, TEACHER, labels)[0])  # loud under jit


def test_a_class_that_probabilities_and_student_rule_out():
    student = np.array([[1.0, -np.inf, 2.0], [0.0, -np.inf, 1.0]], "f")
    labels = np.array([[0.5, 0, 0.5], [0.75, 0, 0.25]], "f")
    value, slope = learn(student, student, labels)
    two = [0, 2]
    expected, wanted = learn(student[:, two], student[:, two], labels[:, two])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope[:, two], wanted, rtol=1e-5, atol=1e-7)
    assert not slope[:, 1].any()
    labels[0] = [0, 0.5, 0.5]
    assert jc.distillation_loss(student, student, labels) == np.inf


REFUSED = {
    "other classes": (
        {"teacher_logits": np.zeros((2, 4), "f")},
        r"teacher's, \(2, 4\), got \(2, 3\)",
    ),
    "other batch": ({"teacher_logits": np.zeros((1, 3), "f")}, "shape of the logits"),
    "one sample": ({"student_logits": np.zeros(3, "f")}, "at least 2 axes"),
    "integers": ({"student_logits": np.zeros((2, 3), int)}, "floating point, got int64"),
    "a list": ({"teacher_logits": [[0.0] * 3] * 2}, "floating point, got list"),
    "none": (
        {"student_logits": np.zeros((0, 3), "f"), "teacher_logits": np.zeros((0, 3), "f")}
        | {"labels": np.zeros(0, int)},
        r"student: logits must not be empty, got \(0, 3\)",
    ),
    "no labels": ({"labels": None}, "labels: must be integers or probabilities, got NoneType"),
    "one-hot integers": (
        {"labels": np.eye(3, dtype=int)[:2]},
        r"labels: integers must have the shape \(2,\).*got \(2, 3\); cast labels that are one-hot",
    ),
    "one-hot booleans": ({"labels": np.eye(3, dtype=bool)[:2]}, "floating point .* got bool; cast"),
    "classes in floating point": (
        {"labels": np.array([2.0, 0.0])},
        r"labels: probabilities must have the shape of the logits, \(2, 3\), got \(2,\); numbers",
    ),
    "probabilities of other classes": ({"labels": np.full((2, 2), 0.5)}, r"\(2, 3\), got \(2, 2\)"),
    "probabilities that broadcast": ({"labels": np.full((1, 3), 1 / 3)}, r"got \(1, 3\)"),
    "probabilities of more": (
        {"labels": np.array([[1, 0, 0], [0.5, 0.25, 0.5]])},
        "labels: probabilities .* a least of 0.25 and a sum of 1.25 in row 1; pass logits",
    ),
    "probabilities below 0": (
        {"labels": np.array([[1, 0, 0], [1.5, -0.5, 0]])},
        "a least of -0.5 and a sum of 1 in row 1",
    ),
    "logits for labels": ({"labels": STUDENT}, "pass logits through a softmax"),
    "probabilities that are NaN": ({"labels": np.full((2, 3), np.nan)}, "a sum of nan in row 0"),
    "complex labels": ({"labels": np.full((2, 3), 1j)}, "got complex"),
    "no labels at some weight": (
        {"labels": None, "soft_weight": 0.999},
        "labels: .*, got NoneType; without any pass a soft_weight of 1",
    ),
    "where of numbers": ({"where": np.ones(2)}, "where: must be booleans, got float"),
    "where of another batch": (
        {"where": np.ones(3, bool)},
        r"where: must .* \(2,\), .* got \(3,\)",
    ),
    "where of nothing": ({"where": np.zeros(2, bool)}, "where: must leave a sample at least"),
    "a label that counts": (
        {"labels": np.array([-1, 0]), "where": np.array([True, False])},
        "labels: must be 0 to 2, got -1",
    ),
    "labels of another batch": ({"labels": np.array([1])}, r"shape \(2,\), .* got \(1,\)"),
    "no such class": ({"labels": np.array([0, 3])}, "labels: must be 0 to 2, got 3"),
    "a negative label": ({"labels": np.array([-1, 0])}, "labels: must be 0 to 2, got -1"),
    "cold": ({"temperature": 0.0}, "temperature: must be finite and above 0, got 0.0"),
    "negative": ({"temperature": -1.0}, "above 0, got -1.0"),
    "infinite": ({"temperature": np.inf}, "got inf"),
    "hot": (
        {"temperature": 1e8},
        "temperature: must be in 0.001 to 10000, got 100000000.0; 2 to 5",
    ),
    "coldest": ({"temperature": 1e-40}, "temperature: must be in 0.001 to 10000, got 1e-40"),
    "no number": ({"temperature": "hot"}, "temperature: must be a number"),
    "too much": ({"soft_weight": 1.1}, r"soft_weight: must be in \[0, 1\], got 1.1"),
    "too little": ({"soft_weight": -0.1}, "got -0.1"),
    "nan": ({"soft_weight": np.nan}, "got nan"),
    "a bool": ({"soft_weight": True}, "soft_weight: must be a number"),
    "no weight": ({"soft_weight": None}, "soft_weight: must be a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    changes, reason = REFUSED[name]
    given = {"student_logits": STUDENT, "teacher_logits": TEACHER, "labels": LABELS} | changes
    with pytest.raises((TypeError, ValueError), match=reason):
        jc.distillation_loss(**given)


def test_shapes_are_refused_under_jit_too_and_unknown_labels_are_loud():
    with pytest.raises(ValueError, match="shape of the logits"):
        jax.jit(jc.distillation_loss)(STUDENT, np.zeros((2, 4), "f"), LABELS)
    for unknown in (-1, 3):  # -1 is not the last class
        labels = np.array([0, unknown], np.int8)
        assert np.isnan(jax.jit(jc.distillation_loss)(STUDENT, TEACHER, labels))


# What is inside


def test_feature_matching_with_a_projection():
    student, teacher = rng.normal(size=(4, 2)).astype("f"), rng.normal(size=(4, 3)).astype("f")
    projection = rng.normal(size=(2, 3)).astype("f")
    expected = np.mean((student @ projection - teacher) ** 2)
    found = jc.distill.feature_matching_loss(student, teacher, projection=projection)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    as_function = jc.distill.feature_matching_loss(
        student, teacher, projection=lambda x: x @ projection
    )
    np.testing.assert_allclose(as_function, expected, rtol=1e-5)
    for wrong in (None, projection.T, projection[:1], 3.0, lambda x: x):
        with pytest.raises(ValueError, match="must "):
            jc.distill.feature_matching_loss(student, teacher, projection=wrong)


def test_attention_looks_at_places_and_not_at_scales():
    teacher = rng.normal(size=(2, 3, 3, 4)).astype("f")
    look = jax.jit(jax.value_and_grad(jc.distill.attention_transfer_loss))
    for scale in (1e-15, 1e15):
        value, _ = look(np.float32(scale) * teacher[..., ::-1], teacher)
        np.testing.assert_allclose(value, 0, atol=1e-6)
    value, slope = look(0 * teacher, teacher)
    np.testing.assert_allclose(value, 1, rtol=1e-6)  # a map of zeros against one of norm 1
    assert np.isfinite(slope).all()
    with pytest.raises(ValueError, match="batch and places must be the teacher's"):
        jc.distill.attention_transfer_loss(teacher[:, :2], teacher)


def test_relations_by_hand():
    teacher = np.array([[0.0], [1.0], [3.0]], "f")  # distances 1, 3, 2; their mean is 2
    student = np.array([[0.0, 0.0], [0.0, 4.0], [3.0, 0.0]], "f")  # 4, 3, 5; their mean is 4
    differences = np.array([4 / 4 - 1 / 2, 3 / 4 - 3 / 2, 5 / 4 - 2 / 2])
    found = jax.jit(jc.distill.relational_distance_loss)(student, teacher)
    np.testing.assert_allclose(found, np.mean(differences**2 / 2), rtol=1e-6)
    # At each sample: cosines 0, 4/5, 3/5 and, on a line, 1, -1, 1.
    differences = np.array([0 - 1, 4 / 5 + 1, 3 / 5 - 1])
    huber = np.array([1 / 2, 1.8 - 1 / 2, 0.4**2 / 2])
    assert (np.abs(differences) > 1).tolist() == [False, True, False]
    found = jax.jit(jc.distill.relational_angle_loss)(student, teacher)
    np.testing.assert_allclose(found, np.mean(huber), rtol=1e-6)


def test_samples_in_the_same_place_have_gradients():
    student = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0], [1.0, 2.0]], "f")
    teacher = np.arange(4.0, dtype="f")[:, None]
    for loss in (jc.distill.relational_distance_loss, jc.distill.relational_angle_loss):
        for given in (student, 0 * student):
            value, slope = jax.jit(jax.value_and_grad(loss))(given, teacher)
            assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("name", ["distances", "angles"])
def test_relations_do_not_depend_on_the_scale(name):
    batch = rng.normal(size=(2, 4, 3)).astype("f")
    value, slope = learn_relations(name, *batch)
    for scale in (2.0**-90, 2.0**90):
        found, found_slope = learn_relations(name, np.float32(scale) * batch[0], batch[1])
        np.testing.assert_allclose(found, value, rtol=1e-5)
        np.testing.assert_allclose(found_slope * scale, slope, rtol=1e-4, atol=1e-6)


def learn_relations(name, student, teacher):
    return jax.jit(jax.value_and_grad(INSIDE[name]))(student, teacher)


INSIDE = {
    "features": jc.distill.feature_matching_loss,
    "attention": jc.distill.attention_transfer_loss,
    "distances": jc.distill.relational_distance_loss,
    "angles": jc.distill.relational_angle_loss,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INSIDE)
def test_a_student_that_is_not_finite_any_more_has_no_finite_loss(name):
    teacher = rng.normal(size=(4, 3, 2)).astype("f")
    assert np.isnan(INSIDE[name](np.nan * teacher, teacher))


@pytest.mark.parametrize("name", INSIDE)
def test_no_features_are_refused(name):
    for shape in ((0, 3, 2), (4, 0, 2), (4, 3, 0)):
        with pytest.raises(ValueError, match="student: .* must not be empty, got"):
            INSIDE[name](np.ones(shape, "f"), np.ones(shape, "f"))


def test_relations_need_enough_samples_of_the_same_batch():
    for loss, least in (
        (jc.distill.relational_distance_loss, 2),
        (jc.distill.relational_angle_loss, 3),
    ):
        few = np.ones((least - 1, 4), "f")
        with pytest.raises(ValueError, match=f"at least {least} samples, got {least - 1}"):
            loss(few, few)
        with pytest.raises(ValueError, match="batch must be the teacher's"):
            loss(np.ones((4, 2), "f"), np.ones((5, 2), "f"))


def test_a_student_learns_from_a_teacher_alone():
    """In an optax loop, as the docstring says it: labels of weight 0 may be anything."""
    import optax

    inputs = rng.normal(size=(64, 3)).astype("f")
    teacher = inputs @ np.array([[2.0, -1], [0, 1], [1, 1]], "f")
    tx, labels = optax.adam(0.1), np.zeros(64, int)
    params = jnp.zeros((3, 2))
    state = tx.init(params)

    @jax.jit
    def step(params, state):
        def loss(params):
            return jc.distillation_loss(inputs @ params, teacher, labels, soft_weight=1.0)

        value, slopes = jax.value_and_grad(loss)(params)
        updates, state = tx.update(slopes, state, params)
        return optax.apply_updates(params, updates), state, value

    values = []
    for _ in range(100):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values[-1] < values[0] / 1000
