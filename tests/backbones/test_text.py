"""What a network can read, told from its config."""

import pytest
from transformers import BertConfig, MobileBertConfig, ModernBertConfig, MPNetConfig, RobertaConfig, XLMRobertaConfig

from attune.backbones.text import Text


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (BertConfig(max_position_embeddings=512), 512),
        (RobertaConfig(max_position_embeddings=514), 512),
        (XLMRobertaConfig(max_position_embeddings=514), 512),
        (MPNetConfig(max_position_embeddings=514), 512),
        (ModernBertConfig(max_position_embeddings=8192), 8192),
    ],
)
def test_positions_that_the_padding_token_s_number_shifts_are_not_counted(config, count):
    assert Text.positions(config) == count


@pytest.mark.parametrize(
    ("config", "lacks"),
    [
        (BertConfig(), set()),
        (ModernBertConfig(), {"bias_terms"}),
        (MPNetConfig(), {"key_value_prefix"}),
        (MobileBertConfig(), {"key_value_prefix"}),
    ],
)
def test_what_a_network_lacks_of_its_family(config, lacks):
    assert Text.lacks(config) == lacks
    assert lacks <= Text.provides
