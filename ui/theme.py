"""The look of the page: Gradio's base theme in calm colours, with fonts that every system has.

Fonts are named as plain strings, because Gradio fetches any other from Google when it does not ship it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

STATIC = Path(__file__).with_name("static")
SANS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Noto Sans Arabic", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """The theme, light and dark."""
    import gradio as gr

    teal = gr.themes.colors.teal
    base = gr.themes.Base(
        primary_hue=teal, secondary_hue=teal, neutral_hue=gr.themes.colors.stone, font=SANS, font_mono=MONO,
        radius_size=gr.themes.sizes.radius_md, 
    )  # fmt: skip
    return base.set(
        body_background_fill="#f4f6f4", body_background_fill_dark="#0f1618",
        body_text_color="#1d2b2c", body_text_color_dark="#e3ebea",
        body_text_color_subdued="#566463", body_text_color_subdued_dark="#a3b3b1",
        background_fill_primary="#ffffff", background_fill_primary_dark="#172124",
        background_fill_secondary="#f4f6f4", background_fill_secondary_dark="#131b1d",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_shadow="none", block_padding="0px", block_label_background_fill="transparent",
        block_label_text_weight="600", block_title_text_weight="600", block_title_text_size="0.86rem",
        block_title_text_color="#2d3d3d", block_title_text_color_dark="#d5e0de",
        block_info_text_color="#566463", block_info_text_color_dark="#a3b3b1",
        border_color_primary="#d5dcd8", border_color_primary_dark="#2b3a3d",
        input_background_fill="#ffffff", input_background_fill_dark="#101a1c",
        input_border_color="#b9c4bf", input_border_color_dark="#3b4c50",
        input_border_color_focus="#0f6b66", input_border_color_focus_dark="#5cc4bb",
        input_placeholder_color="#66736f", input_placeholder_color_dark="#93a3a0", input_padding="8px 10px",
        button_primary_background_fill="#0f6b66", button_primary_background_fill_dark="#0f6b66",
        button_primary_background_fill_hover="#0b544f", button_primary_background_fill_hover_dark="#138078",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#1d292c",
        button_secondary_text_color="#1d2b2c", button_secondary_text_color_dark="#e3ebea",
        color_accent="#0f6b66", link_text_color="#0b5a55", link_text_color_dark="#6fd0c7",
        input_border_width="1px", button_secondary_border_color="#b9c4bf", button_secondary_border_color_dark="#3b4c50",
        button_border_width="1px",
        slider_color="#0f6b66", checkbox_background_color_selected="#0f6b66", checkbox_border_color_selected="#0f6b66",
        checkbox_label_background_fill_selected="#dfeeec", checkbox_label_background_fill_selected_dark="#17413e",
        checkbox_label_text_color_selected="#0b3f3c", checkbox_label_text_color_selected_dark="#e3f4f2",
        checkbox_label_border_color="#c8d1cc", checkbox_label_border_color_dark="#3b4c50",
        checkbox_label_background_fill="#ffffff", checkbox_label_background_fill_dark="#172124",
    )  # fmt: skip


def css() -> str:
    """The page's own rules."""
    return (STATIC / "page.css").read_text(encoding="utf-8")


def script(name: str) -> str:
    """One of the page's scripts."""
    return (STATIC / name).read_text(encoding="utf-8")
