import pytest

from raymm.data.alphabets import alphabet
from raymm.data.decoding import decoded
from raymm.data.findings import Findings

RUSSIAN = "имя,город,улица\nИванов Пётр,Саратов,Советская\nСмирнова Анна,Казань,Большая Красная\n"
GREEK = "όνομα,πόλη\nΓιώργος Παπαδόπουλος,Θεσσαλονίκη\nΜαρία Νικολάου,Αθήνα\n"
JAPANESE = "名前,都市\n山田さん,東京のまち\nスズキ,オオサカ\n"
KOREAN = "이름,도시\n김민수,서울특별시\n박지은,부산광역시\n"
CHINESE = "姓名,城市,备注\n张伟,北京市,今天天气很好\n王芳,上海市,我们去公园\n"
TAIWANESE = "姓名,城市,備註\n張偉,臺北市,今天天氣很好\n王芳,高雄市,我們去公園\n"
POLISH = "imię,miasto\nŁukasz Wiśniewski,Wrocław\nMałgorzata Wójcik,Łódź\nPaweł,Białystok\n"
FRENCH = "prénom,ville\nFrançois,Orléans\nHélène,Besançon\nNoël,Nîmes\nAndré,«Où est-ce»\n"
GERMAN = "Name,Straße\nJürgen Groß,Königsallee\nMüller,Überseering\nWeiß,Mühläcker\n"
SPANISH = "año,ciudad\nMuñoz,Málaga\n¿Qué?,Cádiz\nÑandú,León\n"
ENGLISH = "note,price\nIt\u2019s a \u201cfine\u201d day \u2013 yes,£5\nthey\u2019re 3 m² big,½\n"


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "cp866", "cp866"),
        (GREEK, "cp1253", "cp1253"),
        (JAPANESE, "cp932", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (KOREAN, "euc_kr", "euc_kr"),
        (CHINESE, "gbk", "gb18030"),
        (TAIWANESE, "big5", "big5"),
        (POLISH, "cp1250", "cp1250"),
        (FRENCH, "cp1252", "cp1252"),
        (FRENCH, "latin-1", "cp1252"),
        (GERMAN, "cp1252", "cp1252"),
        (SPANISH, "cp1252", "cp1252"),
        (ENGLISH, "cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("times", [1, 50])
def test_old_encodings_are_told_by_their_letters(
    text: str, encoding: str, told: str, times: int
) -> None:
    head, _, rest = text.partition("\n")
    data = f"{head}\n{'1,2' * 1000}\n{rest * times}".encode(encoding)
    assert alphabet(data) == told
    found = Findings()
    assert decoded(data, "t.csv", found).encode(encoding) == data
    assert told in found.notes[0]


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"caf\xe9\n", b"\x81\n", b"\xff" * 100])
def test_little_tells_nothing(data: bytes) -> None:
    assert alphabet(data) == "cp1252"


def test_a_sign_in_a_few_cells_is_no_alphabet() -> None:
    rows = "".join(f"{i} m²,{i} €,naïve,±{i},1¼ l\n" for i in range(300))
    assert alphabet(rows.encode("cp1252")) == "cp1252"
