"""The files of the panel and the overlay, as a browser gets them."""

from importlib.resources import files

import pytest

from voxswap_server.http.pages.routes import PAGES


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_served_as_what_it_is(rig, path):
    name, media_type = PAGES[path]
    answer = await rig.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == (files("voxswap_server.http.pages") / "files" / name).read_bytes()


def test_every_file_is_in_the_table():
    there = {file.name for file in (files("voxswap_server.http.pages") / "files").iterdir()}
    assert there == {name for name, _ in PAGES.values()}


async def test_only_our_own_scripts_run_and_nobody_frames_the_panel(rig):
    policy = (await rig.client.get("/")).headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_an_unchanged_page_is_not_sent_again(rig):
    tag = (await rig.client.get("/")).headers["etag"]
    again = await rig.client.get("/", headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await rig.client.get("/overlay", headers={"if-none-match": tag})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/panel/../panel.html", "/panel/%2e%2e/gateway.py", "/panel/routes.py", "/panel/"])
async def test_what_is_not_in_the_table_is_not_there(rig, path):
    answer = await rig.client.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (404, "NO_SUCH_PATH")


async def test_a_page_is_only_read(rig):
    answer = await rig.client.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_head_has_no_body(rig):
    answer = await rig.client.head("/overlay")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_name_that_is_not_ours_gets_no_page(rig):
    answer = await rig.client.get("/", headers={"host": "rebound.example"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "FOREIGN_PAGE")
