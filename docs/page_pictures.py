"""Takes the README's pictures of the page: `medalist serve`, then `python docs/page_pictures.py http://127.0.0.1:8000`."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

DOCS = Path(__file__).parent


def take(url: str) -> None:
    """Write page-light.png and page-dark-phone.png beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        desktop = _example(browser, url, viewport={"width": 1200, "height": 900}, color_scheme="light")
        for label in ("y/o, ", "F, "):
            desktop.locator(f'#reader .form[aria-label^="{label}"]').first.click()
            desktop.click("#accept")
        desktop.locator('#reader .form[aria-label^="PE, "]').click()
        _write(desktop, "page-light.png")
        phone = _example(
            browser,
            url,
            viewport={"width": 390, "height": 844},
            color_scheme="dark",
            is_mobile=True,
            has_touch=True,
            device_scale_factor=2,
        )
        phone.locator('#reader .form[aria-label^="MS, "]').last.tap()
        _write(phone, "page-dark-phone.png")
        browser.close()


def _example(browser: Browser, url: str, **options: object) -> Page:
    page = browser.new_context(reduced_motion="reduce", **options).new_page()
    page.goto(url)
    page.click("#example")
    expect(page.locator("#result")).to_be_visible(timeout=60_000)
    return page


def _write(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    take(sys.argv[1])
