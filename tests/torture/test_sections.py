"""The sections of the page of figures: each is written by itself, and none is lost."""

from __future__ import annotations

from torture import sections

PAGE = """# Page

A table.

## What these figures do not say

* Much.
"""


def test_section_takes_its_place_on_the_page_and_keeps_it() -> None:
    """Before what the figures do not say; written again, it replaces itself."""
    ends = f"{sections.ENDS}\n\nFast.\n"

    page = sections.replaced(PAGE, ends)

    assert page == PAGE.replace("\n## What", f"\n{ends}\n## What")
    assert (sections.of(page), sections.of(PAGE)) == ({sections.ENDS: ends}, {})
    assert sections.replaced(page, ends) == page
    assert sections.replaced(PAGE) == PAGE


def test_sections_are_in_one_order_whichever_was_written_first() -> None:
    """One that is written anew leaves the others as they are."""
    ends, loops, turns = (f"{head}\n\nFast.\n" for head in (sections.ENDS, sections.LOOPS, sections.TURNS))

    page = sections.replaced(sections.replaced(sections.replaced(PAGE, turns), ends), loops)
    again = sections.replaced(page, f"{sections.LOOPS}\n\nSlow.\n")

    assert page == PAGE.replace("\n## What", f"\n{ends}\n{loops}\n{turns}\n## What")
    assert again == page.replace(loops, f"{sections.LOOPS}\n\nSlow.\n")
