"""English: numbers in words, words in phones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.text.english import EnglishReader
from voxswap_server.text.english.neural import NeuralSpeller
from voxswap_server.text.english.normalise import normalise
from voxswap_server.text.english.number_words import LONGEST_DIGITS, cardinal, ordinal
from voxswap_server.text.english.numbers import spell_out
from voxswap_server.text.english.words import WordReader
from voxswap_server.text.symbols import SYMBOLS


@pytest.fixture(scope="module")
def words():
    return WordReader()


@pytest.fixture(scope="module")
def reader():
    return EnglishReader()


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("0", "zero"),
        ("365", "three hundred sixty-five"),
        ("1000", "one thousand"),
        ("1905", "nineteen oh five"),
        ("1969", "nineteen sixty-nine"),
        ("1900", "nineteen hundred"),
        ("2000", "two thousand"),
        ("2007", "two thousand seven"),
        ("2021", "twenty twenty-one"),
        ("3000", "three thousand"),
        ("1,234,567", "one million, two hundred thirty-four thousand, five hundred sixty-seven"),
        ("98.6", "ninety-eight point six"),
        ("3.05", "three point zero five"),
        ("$4.50", "four dollars and fifty cents"),
        ("$1.01", "one dollar and one cent"),
        ("$0.99", "ninety-nine cents"),
        ("$0", "zero dollars"),
        ("$1,000,000", "one million dollars"),
        ("£1", "one pound"),
        ("2£", "two pounds"),
        ("1/2", "one half"),
        ("3/4", "three fourths"),
        ("120/80", "one hundred and twenty eightieths"),
        ("6/1", "six"),
        ("0/2", "zero halves"),
        ("2/3", "two thirds"),
        ("1/8", "one eighth"),
        ("3rd", "third"),
        ("20th", "twentieth"),
        ("7:45", "seven forty-five a.m."),
        ("15:00", "three o'clock p.m."),
        ("5km", "five kilometers"),
        ("1m", "one meter"),
        ("90km/h", "ninety kilometers/h"),
        ("2.5 million$", "two point five million$"),
        ("$2.5", "two dollars and fifty cents"),
        ("1ft and 01m", "one feet and one meter"),
        ("103rd and 1000th", "one hundred and third and one thousandth"),
        ("3 - 4 = x", "three minus four Equals x"),
        ("a  -  -2", "a minusnegative two"),
        ("so -  no", "so minus no"),
        ("5.  7", "fifth,  seven"),
        ("20°C", "twenty degrees celsius"),
        ("5mph", "fivemph"),
        ("is -7", "isnegative seven"),
        ("1. Open", "first, Open"),
        ("12. Shut", "twelfth, Shut"),
        ("22. £6. 1/3. a", "twenty-second, six poundsth, one thirdrd, a"),
        ("4BSD", "fourBSD"),
        ("1813-1855", "eighteen thirteen-eighteen fifty-five"),
    ],
)
def test_numbers_are_read_by_their_company(written, spoken):
    assert spell_out(written) == spoken


def test_a_number_beyond_the_names_is_read_digit_by_digit():
    assert spell_out("1" * 40) == " ".join(["one"] * 40)


@pytest.mark.parametrize(
    ("number", "plain", "joined", "place"),
    [
        (0, "zero", "zero", "zeroth"),
        (12, "twelve", "twelve", "twelfth"),
        (40, "forty", "forty", "fortieth"),
        (105, "one hundred five", "one hundred and five", "one hundred and fifth"),
        (1_005, "one thousand five", "one thousand and five", "one thousand and fifth"),
        (1_100, "one thousand, one hundred", "one thousand, one hundred", "one thousand, one hundredth"),
        (
            2_040_021,
            "two million, forty thousand twenty-one",
            "two million, forty thousand and twenty-one",
            "two million, forty thousand and twenty-first",
        ),
        (10**33, "one decillion", "one decillion", "one decillionth"),
    ],
)
def test_whole_numbers_have_names(number, plain, joined, place):
    assert cardinal(number) == plain
    assert cardinal(number, "and") == joined
    assert ordinal(number, "and") == place


@given(st.integers(0, 10**LONGEST_DIGITS - 1))
def test_every_number_that_has_a_name_can_be_said(number):
    said = cardinal(number)
    assert "  " not in said
    assert said.count(",") <= LONGEST_DIGITS // 3
    assert ordinal(number)[:3] == said[:3] or number < 13


def test_numbers_without_a_name_are_refused():
    for number in (-1, 10**LONGEST_DIGITS):
        with pytest.raises(ValueError, match="has no name"):
            cardinal(number)


@given(st.text(st.sampled_from("0123456789.,:/-$£%°CkmhsLndthr "), max_size=90))
def test_no_digit_survives_and_nothing_fails(text):
    assert not any(char.isdigit() for char in spell_out(text))


@pytest.mark.parametrize(
    ("written", "spoken", "dropped"),
    [
        ("Wait... what?!", "Wait. what?", ""),
        ("NASA and MacDowell", "N A S A and Mac Dowell", ""),
        ("Café naïve", "Cafe naive", ""),
        ("50%", "fifty percent", ""),
        ("e.g. this, i.e. that", "for example this, that is that", ""),
        ("来 wait。", " wait.", "来"),
        ("a 😀 b", "a  b", "😀"),
        ('say "hi": now', "say hi now", ""),
        ("and -- then", "and  then", ""),
    ],
)
def test_text_is_written_as_it_is_spoken(written, spoken, dropped):
    assert normalise(written) == (spoken, frozenset(dropped))


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("tomorrow", "T AH0 M AA1 R OW2"),
        ("zero", "Z IY1 R OW0"),
        ("qz", "K Y UW1 Z IY1"),
        ("ai", "EY1 AY1"),
        ("th", "TH"),
        ("blacksmith's", "B L AE1 K S M IH2 TH S"),
        ("zyl's", "Z IY1 W AY1 EH1 L Z"),
        ("qos's", "K Y UW1 OW1 EH1 S AH0 Z"),
        ("low-latency", "L OW1 L EY1 T AH0 N S IY0"),
        ("information", "IH2 N F AO2 R M EY1 SH AH0 N"),
        ("exercises", "EH1 K S ER0 S AY2 Z IH0 Z"),
        ("json", "JH EY1 S AH0 N"),
    ],
)
def test_words_come_from_dictionary_letters_possessive_or_parts(words, word, phones):
    known = {"th": "T IY1 EY1 CH"}
    assert " ".join(words.phones(word)) == known.get(word, phones)


def test_the_article_and_the_letter_differ(reader):
    assert reader.read("A is a letter, is it", "v2").phones[0] == "EY1"
    assert reader.read("a cat sat on it", "v2").phones[0] == "AH0"


def test_a_very_short_reading_starts_with_a_comma(reader):
    assert reader.read("a", "v2").phones == (",", "AH0")


def test_apostrophes_and_marks_stay_in_the_alphabet(reader):
    assert reader.read("the dogs' own -bone", "v2").phones.count("-") == 1


def test_the_word_model_reads_what_no_dictionary_has():
    speller = NeuralSpeller.from_installed()
    assert " ".join(speller.phones("activationist")) == "AE2 K T IH0 V EY1 SH AH0 N IH0 S T"
    assert " ".join(speller.phones("microphone")) == "M AY1 K R AH0 F OW2 N"


@given(st.text(max_size=300))
def test_the_word_model_is_bounded_and_speaks_the_alphabet(word):
    phones = SPELLER.phones(word)
    assert len(phones) <= 20
    assert all(phone in SYMBOLS["v1"] or phone == "UW" for phone in phones)


SPELLER = NeuralSpeller.from_installed()
