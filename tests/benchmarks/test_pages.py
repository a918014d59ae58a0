from benchmarks.pages import blank_figure, save_svg, write_page


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


def test_equal_figures_give_equal_files(tmp_path):
    for folder in ("one", "two"):
        figure = blank_figure(2, 2)
        figure.subplots().errorbar([1, 2], [3, 4], [0.5, 0.5])
        (tmp_path / folder).mkdir()
        save_svg(figure, tmp_path / folder / "lines.svg")
    one, two = ((tmp_path / folder / "lines.svg").read_bytes() for folder in ("one", "two"))
    assert one == two
