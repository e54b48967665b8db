"""The backbone families attune knows, by name."""

from attune.core.registry import Registry

BACKBONES = Registry(
    "backbone family",
    {
        "causal": "attune.backbones.causal:Causal",
        "seq2seq": "attune.backbones.seq2seq:Seq2Seq",
        "text": "attune.backbones.text:Text",
    },
    "attune.backbones",
)
