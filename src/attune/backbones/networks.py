"""What can be told of a network by its config and its modules, and by no model's name."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoTokenizer

from attune.errors import BackboneError

SAFE = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Stack:
    """Layers that are run one after the other.

    Attributes:
        path: Module path.
        count: Layers.
        width: Features of a token between two layers.
        keys: Features of a token's keys in attention, all heads together.
    """

    path: str
    count: int
    width: int
    keys: int


@dataclass(frozen=True)
class Outline:
    """A checkpoint's network without its weights.

    Attributes:
        network: On torch's meta device.
        stacks: Its layers, in the order in which they are run.
    """

    network: Any
    stacks: tuple[Stack, ...]


def parts(config: Any) -> list[Any]:
    """A config and the configs that it is made of."""
    inner = [getattr(config, name, None) for name in getattr(config, "sub_configs", {})]
    return [config, *(part for part in inner if part is not None)]


def network_class(config: Any) -> Any:
    """The class that transformers makes of a config, its module imported; nothing where it knows none."""
    found: Any = MODEL_MAPPING.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


def has_sdpa(config: Any) -> bool:
    """Whether every part of a network can attend by torch's scaled dot product."""
    classes = [found for part in parts(config) if (found := network_class(part)) is not None]
    return all(getattr(found, "_supports_sdpa", False) for found in classes)


def load(auto: Any, folder: Path, config: Any) -> tuple[Any, frozenset[str]]:
    """Loads a network in float32; what the checkpoint does not hold is drawn by a fixed seed.

    Args:
        auto: One of transformers' auto classes.
        folder: The checkpoint's.
        config: Its config.

    Returns:
        The network, and the names of the parameters that the checkpoint does not hold.
    """
    torch.manual_seed(0)
    network, info = auto.from_pretrained(
        folder, config=config, dtype=torch.float32, output_loading_info=True, use_safetensors=True,
        attn_implementation="sdpa" if has_sdpa(config) else "eager", **SAFE,
    )  # fmt: skip
    return network, frozenset(info["missing_keys"])


def with_dropout(config: Any, dropout: float) -> Any:
    """Sets every dropout probability of a config; attention's is read from there at every forward pass.

    No layer is left out at random, whatever the checkpoint was pretrained with.
    """
    for part in parts(config):
        for key, value in part.to_dict().items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                if "dropout" in key:
                    setattr(part, key, dropout)
                elif key.endswith("layerdrop"):
                    setattr(part, key, 0.0)
    return config


def depth(config: Any) -> int:
    """Layers that a config tells."""
    return int(config.num_hidden_layers)


def width(config: Any) -> int:
    """Features of a token that a config tells."""
    return int(config.hidden_size)


def positions(config: Any) -> int:
    """The positions a network has for tokens, virtual ones included.

    RoBERTa and what is made after it count positions from the padding token's number on, as their code shows.

    Args:
        config: The checkpoint's config.

    Returns:
        A number of tokens.
    """
    count = int(getattr(config, "max_position_embeddings", 512) or 512)
    network = network_class(config)
    code = vars(sys.modules[network.__module__]) if network else {}
    shifted = any("create_position_ids_from_input_ids" in (name, *dir(value)) for name, value in code.items())
    return count - (config.pad_token_id + 1 if shifted and config.pad_token_id is not None else 0)


def reads_pairs(folder: Path) -> bool:
    """Whether a tokenizer puts a token between two texts, without which they would run into each other."""
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE)
    return tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)


def masks(folder: Path) -> bool:
    """Whether a tokenizer has a token that stands for a hidden one."""
    return AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE).mask_token is not None


def tokenizer_of(folder: Path) -> Any:
    """A checkpoint's tokenizer."""
    return AutoTokenizer.from_pretrained(folder, use_fast=True, **SAFE)


def reads_types(network: Any) -> bool:
    """Whether a family tells the second text from the first by token types (Devlin et al. 2019).

    Told by the network alone, for not every tokenizer's config names what its network takes; which token has which type
    is the tokenizer's affair.
    """
    kinds = int(getattr(network.config, "type_vocab_size", 0) or 0)
    return kinds > 1 and "token_type_ids" in inspect.signature(network.forward).parameters


def stack_of(network: nn.Module, module: nn.Module, config: Any, count: int) -> Stack:
    """The layers that a module of a network runs.

    Args:
        network: The network.
        module: A part of it, or all of it.
        config: Of that part.
        count: Its layers.

    Returns:
        Where they are and how wide.

    Raises:
        BackboneError: No module list of that length is there.
    """
    names = {id(part): name for name, part in network.named_modules()}
    for name, inner in module.named_modules():
        if isinstance(inner, nn.ModuleList) and len(inner) == count:
            path = ".".join(filter(None, (names[id(module)], name)))
            return Stack(path, count, width(config), key_width(config))
    raise BackboneError(f"no list of {count} layers in {type(module).__name__}", expected="a stack of layers")


def key_width(config: Any) -> int:
    """Features of a token's keys, all heads together; 0 where there is no attention."""
    heads = getattr(config, "num_attention_heads", 0)
    own = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or width(config) // max(heads, 1)
    return (getattr(config, "num_key_value_heads", None) or heads) * own


def tables(network: nn.Module) -> frozenset[str]:
    """The names of the parameters that are looked up by number: of words, positions, types."""
    return frozenset(
        f"{name}.{own}" if name else own
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding)
        for own, _ in module.named_parameters(recurse=False)
    )


def place(name: str, stacks: Sequence[Stack], looked_up: frozenset[str]) -> int:
    """How far up a parameter is: 0 for embeddings, 1 to L for the layers of all stacks, L + 1 above them.

    Args:
        name: The parameter's; something may be wrapped around the network.
        stacks: The layers.
        looked_up: Parameters that are tables.

    Returns:
        0 to L + 1.
    """
    below = 0
    for stack in stacks:
        if match := re.search(rf"(^|\.){re.escape(stack.path)}\.(\d+)\.", name):
            return below + int(match.group(2)) + 1
        below += stack.count
    if "embed" in name or any(name == table or name.endswith(f".{table}") for table in looked_up):
        return 0
    if len(stacks) > 1 and re.search(rf"(^|\.){re.escape(stacks[0].path.rpartition('.')[0])}\.", name):
        return stacks[0].count
    return below + 1


def lacks(outline: Outline) -> frozenset[str]:
    """What of the things that methods need a network does not have.

    Args:
        outline: Without weights.

    Returns:
        A part of `bias_terms`, `inputs_embeds`, `key_value_prefix`.
    """
    network, missing = outline.network, set[str]()
    stacks = [network.get_submodule(stack.path) for stack in outline.stacks]
    if not any(name.endswith(".bias") for stack in stacks for name, _ in stack.named_parameters()):
        missing.add("bias_terms")
    if "inputs_embeds" not in inspect.signature(network.forward).parameters:
        missing.add("inputs_embeds")
    if not all(takes_prefix(network, stack) for stack in stacks):
        missing.add("key_value_prefix")
    return frozenset(missing)


def takes_prefix(network: Any, stack: Any) -> bool:
    """Whether the attention of a stack's layers can be handed keys and values besides the text's own."""
    config = network.config
    # a bottleneck makes attention narrower than the config's hidden size, by a width that only its code knows
    narrow = any(getattr(part, "true_hidden_size", part_width) != part_width for part, part_width in widths(config))
    exchangeable = getattr(network, "_supports_attention_backend", False) or network._can_set_attn_implementation()
    handed_on = all(
        any(each.kind is each.VAR_KEYWORD for each in inspect.signature(layer.forward).parameters.values())
        for layer in stack
    )
    return exchangeable and handed_on and not narrow


def widths(config: Any) -> list[tuple[Any, int]]:
    """The parts of a config that have a width, each with it."""
    return [(part, int(part.hidden_size)) for part in parts(config) if getattr(part, "hidden_size", None)]


def whole(missing: frozenset[str], folder: Path) -> None:
    """Refuses a checkpoint that does not hold all that is needed.

    Args:
        missing: Names of parameters that were needed and are not there.
        folder: The checkpoint's.

    Raises:
        BackboneError: There are such.
    """
    if missing:
        named = ", ".join(sorted(missing)[:3])
        raise BackboneError(
            f"its weights lack {len(missing)} parameter(s), such as {named}",
            where=str(folder),
            expected="the weights of the whole network; to generate, with its language head",
            remedy="use a checkpoint saved from the family's own class for generation",
        )


def speechless(config: Any, heads: Collection[str]) -> bool:
    """Whether a checkpoint was saved from a class that has no language head, and none can be tied to its words.

    Args:
        config: The checkpoint's config.
        heads: Names of the classes that have one.

    Returns:
        False where the config does not say what it was saved from.
    """
    saved = set(getattr(config, "architectures", None) or ())
    return bool(saved) and not saved & set(heads) and not getattr(config, "tie_word_embeddings", False)
