"""Prompts to ids: words, and byte pairs as CLIP's and SAM 3's tokenizers have them."""

import json

import pytest

from landloom.errors import InvalidInput, ModelRejected
from landloom.raster.geometries.tokenizer import BYTE_LETTERS, Tokenizer

WORDS = {"[PAD]": 0, "green": 1, "roof": 2, ",": 3}


def words(**more) -> Tokenizer:
    document = {"model": {"type": "WordLevel", "vocab": WORDS, **more.pop("model", {})}, **more}
    return Tokenizer.parse(json.dumps(document), "model.pt2")


def pairs(*merges: str, **more) -> Tokenizer:
    """A byte-pair tokenizer: all bytes, all bytes at a word's end, then the merges."""
    pieces = [*BYTE_LETTERS, *(letter + "</w>" for letter in BYTE_LETTERS)]
    pieces += [merge.replace(" ", "") for merge in merges]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<start>", "<end>"])}
    document = {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]},
        "model": {
            "type": "BPE", "vocab": vocabulary, "merges": list(merges),
            "end_of_word_suffix": "</w>",
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": ["<start>", vocabulary["<start>"]], "sep": ["<end>", vocabulary["<end>"]],
        },
        **more,
    }  # fmt: skip
    return Tokenizer.parse(json.dumps(document), "model.pt2")


def pieces_of(tokenizer: Tokenizer, prompt: str) -> list[str]:
    names = {number: piece for piece, number in tokenizer.vocabulary.items()}
    ids = tokenizer.encode(prompt, 32)
    return [names[each] for each in ids if each or names[each] == prompt]


class TestWords:
    def test_are_looked_up_and_padded(self):
        assert words().encode("green roof", 4) == [1, 2, 0, 0]

    def test_signs_are_words(self):
        assert words().encode("green,roof", 4) == [1, 3, 2, 0]

    def test_an_unknown_word_is_named_with_what_is_known(self):
        with pytest.raises(InvalidInput, match=r"'castle' is not in .* It knows ,, green, roof\."):
            words().encode("green castle", 4)

    def test_an_unknown_token_stands_for_unknown_words(self):
        tokenizer = words(model={"unk_token": "[PAD]"})
        assert tokenizer.encode("castle roof", 3) == [0, 2, 0]

    def test_case_counts_unless_the_tokenizer_lowers_it(self):
        with pytest.raises(InvalidInput, match="'Roof'"):
            words().encode("Roof", 4)
        assert words(normalizer={"type": "Lowercase"}).encode("Roof", 2) == [2, 0]

    def test_a_template_puts_its_tokens_round_the_text(self):
        single = [
            {"SpecialToken": {"id": ","}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": ","}}
        ]  # fmt: skip
        tokenizer = words(post_processor={"single": single}, padding={"pad_id": 9})
        assert tokenizer.encode("roof", 5) == [3, 2, 3, 9, 9]


class TestBytePairs:
    def test_are_joined_in_the_order_of_the_merges(self):
        tokenizer = pairs("o o", "oo f</w>", "r o", "r oof</w>")
        assert pieces_of(tokenizer, "roof") == ["<start>", "roof</w>", "<end>"]
        assert pieces_of(tokenizer, "rook") == ["<start>", "r", "oo", "k</w>", "<end>"]

    def test_each_word_ends_in_the_suffix(self):
        tokenizer = pairs("a a")
        assert pieces_of(tokenizer, "AA aa") == ["<start>", "a", "a</w>", "a", "a</w>", "<end>"]

    def test_overlapping_pairs_are_joined_from_the_left(self):
        tokenizer = pairs("a a")
        assert pieces_of(tokenizer, "aaaa") == ["<start>", "aa", "a", "a</w>", "<end>"]

    def test_every_text_can_be_put(self):
        found = pieces_of(pairs(), "Bäume 7!")
        assert found == [
            "<start>", "b", "Ã", "¤", "u", "m", "e</w>", "7</w>", "!</w>", "<end>"
        ]  # fmt: skip


class TestProblems:
    @pytest.mark.parametrize("prompt", ["", "   "])
    def test_a_blank_prompt_is_refused(self, prompt):
        with pytest.raises(InvalidInput, match="holds no word"):
            words().encode(prompt, 4)

    def test_a_long_prompt_is_refused_with_both_numbers(self):
        with pytest.raises(InvalidInput, match="makes 5 tokens; the model takes 4"):
            words().encode("roof roof roof roof roof", 4)

    @pytest.mark.parametrize("text", ["", "[]", '{"model": {}}'])
    def test_a_broken_file_names_the_model(self, text):
        with pytest.raises(ModelRejected, match=r"model\.pt2 cannot be read"):
            Tokenizer.parse(text, "model.pt2")

    def test_another_kind_is_refused_by_name(self):
        document = {"model": {"type": "Unigram", "vocab": {}}}
        with pytest.raises(ModelRejected, match="'Unigram'"):
            Tokenizer.parse(json.dumps(document), "model.pt2")
