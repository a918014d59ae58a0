from benchmarks.pages import write_page


def test_what_people_wrote_stays(tmp_path):
    page = tmp_path / "new" / "page.md"
    write_page(page, "a command", ["found 1"], "A title")
    assert page.read_text().splitlines() == [
        "# A title",
        "",
        "<!-- below: written by a command -->",
        "",
        "found 1",
    ]
    page.write_text(page.read_text().replace("# A title", "# A better one\n\nWhat it says."))
    write_page(page, "a command", ["found 2"], "A title")
    text = page.read_text()
    assert text.startswith("# A better one\n\nWhat it says.\n\n<!--")
    assert "found 2" in text
    assert "found 1" not in text
