import subprocess
import sys

import pytest

from voxswap_server.text.installed import installed_file


def test_a_file_is_found_without_importing_its_package():
    code = (
        "import sys; from voxswap_server.text.installed import installed_file;"
        "assert installed_file('pronouncing', 'cmudict-0.7b').stat().st_size > 1_000_000;"
        "assert 'pronouncing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("package", "part"), [("no_such_package", "x"), ("pronouncing", "no_such_file")])
def test_what_is_not_there_is_named(package, part):
    with pytest.raises(FileNotFoundError, match=f"{package} with its file {part}"):
        installed_file(package, part)
