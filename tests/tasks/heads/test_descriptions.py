"""The descriptions head: cosines, prototypes, levels."""

import pytest
import torch
from torch.nn import functional as F

from attune.tasks.heads.descriptions import OPENNESS, SCALE, DescriptionsHead


@pytest.fixture
def features():
    return torch.randn(40, 8, generator=torch.Generator().manual_seed(0))


def vectors(count, seed):
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def head(shots=0):
    made = DescriptionsHead(8, 3)
    made.begin([vectors(1, 1), vectors(2, 2), vectors(4, 3)], [vectors(shots, 10 + label) for label in range(3)])
    return made.eval()


def test_logits_are_scaled_cosines_whatever_the_lengths(features):
    made = head()
    wanted = SCALE * F.cosine_similarity(features.unsqueeze(1), vectors(1, 1).unsqueeze(0), dim=-1)
    torch.testing.assert_close(made(features)[:, :1], wanted)
    torch.testing.assert_close(made(7 * features), made(features))
    weight, level = made.affine()
    torch.testing.assert_close(F.normalize(features, dim=-1) @ weight.T + level, made(features))


def test_several_texts_of_a_label_count_alike_however_long_their_vectors():
    one, other = DescriptionsHead(8, 1), DescriptionsHead(8, 1)
    first, second = vectors(2, 5)
    none = torch.zeros(0, 8)
    one.begin([torch.stack([first, second])], [none])
    other.begin([torch.stack([9 * first, second])], [none])
    torch.testing.assert_close(one.vectors, other.vectors)


def test_a_label_vector_is_the_mean_of_its_texts_and_its_rows():
    rows, told = F.normalize(vectors(5, 11), dim=-1), F.normalize(vectors(2, 2), dim=-1)
    torch.testing.assert_close(head(shots=5).vectors[1].detach(), (told.sum(0) + rows.sum(0)) / 7)


def test_calibration_leaves_no_label_ahead_and_changes_no_mean(features):
    made = head()
    before = made(features).detach()
    made.balance(features, each=True, several=False)
    after = made(features).detach()
    assert before.mean(0).std() > 0.1
    torch.testing.assert_close(after.mean(0), before.mean().expand(3), atol=1e-4, rtol=0)
    made.balance(features, each=True, several=False)
    torch.testing.assert_close(made(features).detach(), after, msg="balancing again starts from nothing")


@pytest.mark.parametrize("each", [False, True])
def test_of_several_labels_the_nearest_applies_on_average(features, each):
    made = head()
    made.balance(features, each=each, several=True)
    logits = made(features).detach()
    assert float(logits.max(-1).values.mean()) == pytest.approx(OPENNESS, abs=1e-4)
    assert (float(logits.mean(0).std()) < 1e-4) == each


def test_vectors_scale_and_levels_move(features):
    made = head()
    made(features).square().sum().backward()
    assert {name for name, value in made.named_parameters() if value.grad is not None and value.grad.abs().sum()} == {
        "vectors", "log_scale", "level",
    }  # fmt: skip
