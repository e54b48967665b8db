"""The contrastive loss, against its definition."""

import math

import torch

from attune.tasks.common.contrast import ABSENT, contrast, key_of


def unit(*rows):
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=-1)


def test_the_loss_is_the_cross_entropy_of_scaled_cosines():
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn((3, 3, 4), generator=draw, dtype=torch.float64)
    keys = torch.tensor([[1, 2, 3], [4, 5, ABSENT], [6, 7, ABSENT]])
    found = contrast(vectors, keys, 5.0, False, ())
    for row in range(3):
        cosines = [
            torch.cosine_similarity(vectors[row, 0], other, dim=0)
            for other in (vectors[0, 1], vectors[1, 1], vectors[2, 1], vectors[0, 2])
        ]
        powers = [math.exp(5 * float(cosine)) for cosine in cosines]
        assert math.isclose(float(found[row]), -math.log(powers[row] / sum(powers)), rel_tol=1e-9)


def test_both_ways_is_the_mean_of_both():
    draw = torch.Generator().manual_seed(1)
    vectors = torch.randn((4, 2, 4), generator=draw, dtype=torch.float64)
    keys = torch.arange(1, 9).view(4, 2)
    one, other = contrast(vectors, keys, 5.0, False, ()), contrast(vectors.flip(1), keys.flip(1), 5.0, False, ())
    torch.testing.assert_close(contrast(vectors, keys, 5.0, True, ()), (one + other) / 2)


def test_sizes_are_summed_and_each_is_of_vectors_cut_there():
    draw = torch.Generator().manual_seed(2)
    vectors = torch.randn((3, 2, 6), generator=draw, dtype=torch.float64)
    keys = torch.arange(1, 7).view(3, 2)
    alone = contrast(vectors[..., :2].clone(), keys, 5.0, False, ()) + contrast(vectors, keys, 5.0, False, ())
    torch.testing.assert_close(contrast(vectors, keys, 5.0, False, (2, 6)), alone)


def test_texts_that_are_right_as_well_are_no_negatives():
    """Rows 0 and 1 have one positive; rows 2 and 3 are one text with two; row 4's positive is row 0's text."""
    keys = torch.tensor([[1, 10], [2, 10], [3, 11], [3, 12], [4, 1]])
    vectors = torch.randn((5, 2, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    vectors[1, 1] = vectors[0, 1]
    vectors[3, 0] = vectors[2, 0]
    vectors[4, 1] = vectors[0, 0]
    found = contrast(vectors, keys, 5.0, False, ())
    compared = [[0, 2, 3], [1, 2, 3, 4], [0, 2, 4], [0, 3, 4], [0, 2, 3, 4]]
    for row, columns in enumerate(compared):
        powers = {
            at: math.exp(5 * float(torch.cosine_similarity(vectors[row, 0], vectors[at, 1], dim=0))) for at in columns
        }
        assert math.isclose(float(found[row]), -math.log(powers[row] / sum(powers.values())), rel_tol=1e-9), row


def test_a_row_alone_has_nothing_to_lose():
    assert contrast(unit([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 2), torch.tensor([[1, 2]]), 20.0, True, ()).tolist() == [
        0.0
    ]


def test_keys_are_of_texts():
    assert key_of("a") == key_of("a") != key_of("b")
    assert 0 < key_of("a") < 2**63


def test_cosines_are_compared_in_full_precision_whatever_the_model_computes_in():
    vectors = torch.randn((6, 2, 16), generator=torch.Generator().manual_seed(4))
    keys = torch.arange(1, 13).view(6, 2)
    expected = contrast(vectors, keys, 20.0, True, (4, 16))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrast(vectors, keys, 20.0, True, (4, 16)), expected)
