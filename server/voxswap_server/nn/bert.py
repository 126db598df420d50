"""Chinese RoBERTa: text to one feature a phone (Cui et al. 2019; upstream's get_bert_feature).

The network is transformers' BertModel, without the last two layers, which nobody reads. Knows nothing of how the text
was normalised or of what its phones are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedTokenizerBase

from voxswap_server.errors import EngineError
from voxswap_server.nn.pretrained import load_network, read_config

_UNREAD_LAYERS = 2
"""The feature is what upstream calls hidden_states[-3]: the output of the layer before the last two."""


class TextEncoder:
    def __init__(self, bert: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._bert = bert
        self._tokenizer = tokenizer

    @classmethod
    def from_directory(
        cls, directory: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Self:
        """Reads a directory of Hugging Face's layout and names, with `model.safetensors` and the tokenizer's files.

        Raises:
            OSError: a file cannot be read.
            ValueError: tensors and config do not fit each other.
        """
        whole = read_config(directory)
        config = BertConfig(**whole | {"num_hidden_layers": whole["num_hidden_layers"] - _UNREAD_LAYERS})
        network = load_network(lambda: _network(config), directory, prefix="bert.", dtype=dtype, device=device)
        return cls(network, BertTokenizer.from_pretrained(directory, local_files_only=True))

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._bert,)

    def features(self, norm_text: str, word2ph: Sequence[int]) -> Tensor:
        """Features of one run of Chinese: (width, phones) float32.

        Args:
            norm_text: as the front-end normalised it.
            word2ph: phones of each of its characters.

        Raises:
            EngineError: characters, their phones and the tokenizer's pieces do not pair up one to one, or there are
                more of them than the network has positions.
        """
        ids = self._tokenizer(norm_text, add_special_tokens=True)["input_ids"]
        if not len(ids) - 2 == len(norm_text) == len(word2ph):
            raise EngineError(
                f"{len(norm_text)} characters make {len(ids) - 2} pieces of BERT's and {len(word2ph)} groups of phones;"
                " they must be as many"
            )
        positions = self._bert.embeddings.position_embeddings.num_embeddings
        if len(ids) > positions:
            raise EngineError(f"a run of {len(norm_text)} Chinese characters; BERT reads at most {positions - 2}")
        repeats = torch.tensor(word2ph)
        hidden = self._hidden(torch.tensor(ids))[1:-1]  # without [CLS] and [SEP]
        return hidden.float().repeat_interleave(repeats.to(hidden.device), 0).T.contiguous()

    def _hidden(self, ids: Tensor) -> Tensor:
        """Ids (T,) -> (T, width)."""
        ids = ids.to(self._bert.embeddings.word_embeddings.weight.device)[None]
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        output = self._bert(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))
        return output.last_hidden_state[0]


def _network(config: BertConfig) -> BertModel:
    network = BertModel(config, add_pooling_layer=False)
    # Its tables of them are not in the file, so nothing would ever fill them: they are given with each call.
    del network.embeddings.position_ids, network.embeddings.token_type_ids
    return network
