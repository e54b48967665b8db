"""Text encoders: any Hugging Face encoder with a fast tokenizer, its pooling and its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from attune.backbones import networks
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.family import NOTHING, Family, FamilyOptions, mean, read
from attune.backbones.language import own_head
from attune.backbones.scratch import ScratchOptions
from attune.backbones.vocabulary import TokenizerOptions


class TextOptions(FamilyOptions):
    """A text encoder and how it reads."""

    family: Literal["text"] = "text"
    name: str = "all-MiniLM-L6-v2"
    """The embedded all-MiniLM-L6-v2, a folder or bundle relative to the data root, a Hugging Face name, or scratch."""
    pooling: Literal["mean", "first"] = "mean"
    """How tokens become one vector: their mean, or the first token through the family's own classification head."""
    scratch: ScratchOptions | None = None
    """The size of a backbone from scratch."""
    tokenizer: TokenizerOptions | None = None
    """A tokenizer trained on your own text, for a backbone from scratch or, in place of its own, a pretrained one."""


class Text(Family):
    """A pretrained text encoder with its tokenizer."""

    Options: ClassVar[type[FamilyOptions]] = TextOptions
    provides: ClassVar[frozenset[str]] = frozenset({
        "tokens", "pooled", "linear_layers", "bias_terms", "pairs", "inputs_embeds", "key_value_prefix", "masks",
        "both_sides", "vocabulary_head",
    })  # fmt: skip
    summary: ClassVar[str] = "encoders: BERT, RoBERTa, ModernBERT, DistilBERT, ELECTRA and their like"
    kind: ClassVar[str] = "a text encoder"
    exchanges: ClassVar[bool] = True
    architectures: ClassVar[tuple[str, ...]] = ("bert", "distilbert", "electra", "modernbert", "roberta")
    """What can be made from nothing, the usual one first."""
    maker: ClassVar[Any] = AutoModel
    """The transformers class of the whole network, for making one or changing its vocabulary."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: Any,
        *,
        dropout: float = 0.0,
        config_folder: Path | None = None,
        needs: frozenset[str] = NOTHING,
    ) -> None:
        super().__init__(checkpoint, options, dropout=dropout, config_folder=config_folder, needs=needs)
        if options.pooling == "mean":
            self.fresh = NOTHING
            return
        self.final = final_linear(self.network)
        self.fresh -= {f"{self.final}.weight", f"{self.final}.bias"}
        self.width = int(self.network.get_submodule(self.final).in_features)
        self.network.set_submodule(self.final, nn.Identity())

    @property
    def automatic(self) -> Any:
        """The encoder alone, or with the family's own classification head for first-token pooling."""
        return AutoModel if self.options.pooling == "mean" else AutoModelForSequenceClassification

    def load(self, folder: Path, config: Any) -> tuple[Any, frozenset[str]]:
        """Loads the network."""
        return networks.load(self.automatic, folder, config)

    @classmethod
    def bare(cls, config: Any, needs: frozenset[str]) -> Any:
        """The encoder alone."""
        del needs
        return AutoModel.from_config(config)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row.

        Args:
            inputs: A collated batch, each `(B, T)`.

        Returns:
            `pooled` `(B, D)`.
        """
        if self.final:
            return self.network(**read(inputs)).logits
        return mean(self.tokens(inputs), inputs["attention_mask"])

    def language_head(self) -> dict[str, Tensor]:
        """The numbers of the checkpoint's own language head; empty where it holds none."""
        # the network's own config may name an attention kernel that a method brought
        folder = self.checkpoint.folder
        return own_head(folder, AutoConfig.from_pretrained(folder, **networks.SAFE))


def final_linear(network: nn.Module) -> str:
    """The name of the layer that a family's classification head ends with."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1]
