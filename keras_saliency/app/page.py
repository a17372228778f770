"""The layout of the page, in Gradio; nothing is computed here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from keras_saliency.app import session as computed
from keras_saliency.app.session import DEFAULT, PREDICTED, Look, Session
from keras_saliency.errors import KerasSaliencyError
from keras_saliency.pretrained import sample_photo

TITLE = "Where does the model look, and where do people?"
_FONTS = ["system-ui", "sans-serif"]  # none is fetched
_CSS = """
.gradio-container { max-width: 1280px !important; margin: auto; }
#status { min-height: 1.6em; }
footer { display: none !important; }
"""


def build(session: Session) -> gr.Blocks:
    """Return the page."""
    methods = computed.of_pictures()
    made = tempfile.TemporaryDirectory(prefix="saliency-")  # removed when the process ends
    name = session.names[0]
    shown_only: Any = {"interactive": False, "buttons": ["fullscreen"], "format": "png"}
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        look: Any = gr.State(None)
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                picture = gr.Image(
                    value=np.asarray(Image.open(sample_photo()).convert("RGB")), type="numpy",
                    label="Picture: drop one here", sources=["upload", "clipboard"], height=280,
                    format="png",  # lossy pixels would be explained otherwise
                    elem_id="picture", buttons=[], alt_text="The picture that is explained",
                )  # fmt: skip
                model = gr.Dropdown(session.names, value=name, label="Model", elem_id="model")
                with gr.Row():
                    left = gr.Dropdown(methods, value="grad_cam", label="Method, left",
                                       elem_id="left", min_width=130)  # fmt: skip
                    right = gr.Dropdown(methods, value="gradient", label="Method, right",
                                        elem_id="right", min_width=130)  # fmt: skip
                chosen = gr.Dropdown([("the predicted class", PREDICTED)], value=PREDICTED,
                                     label="Class", elem_id="class")  # fmt: skip
                layer = gr.Dropdown([DEFAULT], value=DEFAULT, label="Layer, of methods that take "
                                    "one", elem_id="layer")  # fmt: skip
                with gr.Row(visible=False) as point:
                    row = gr.Number(None, label="Row of the pixel", precision=0, minimum=0,
                                    elem_id="row", min_width=130)  # fmt: skip
                    column = gr.Number(None, label="Column of the pixel", precision=0, minimum=0,
                                       elem_id="column", min_width=130)  # fmt: skip
                run = gr.Button("Explain", variant="primary", elem_id="explain")
            with gr.Column(scale=2, min_width=300):
                status = gr.Markdown("Choose, then explain.", elem_id="status")
                wipe = gr.ImageSlider(label="Two methods: drag the line", elem_id="wipe",
                                      **shown_only)  # fmt: skip
                with gr.Row():
                    position = gr.Slider(0, 100, 50, step=1, label="Line between the methods, %",
                                         elem_id="position", min_width=200)  # fmt: skip
                    opacity = gr.Slider(0, 1, 0.7, step=0.05, label="Opacity of the maps",
                                        elem_id="opacity", min_width=200)  # fmt: skip
                with gr.Row():
                    machine = gr.Image(label="Where the model looks", elem_id="machine",
                                       **shown_only)  # fmt: skip
                    people = gr.Image(label="Where people look", elem_id="people",
                                      **shown_only)  # fmt: skip
                numbers = gr.Markdown(elem_id="agreement")
                download = gr.DownloadButton("Download figures and manifests (zip)",
                                             interactive=False, elem_id="download")  # fmt: skip

        def choices(model: str) -> tuple[Any, ...]:
            shape = session.shape(model)
            dense = shape.output is not None
            about = "click the pixel to explain" if dense else "drop one here"
            return (
                gr.update(
                    choices=list(shape.classes), value=PREDICTED,
                    label="Channel" if dense else "Class",
                ),
                gr.update(choices=[DEFAULT, *shape.layers], value=DEFAULT),
                gr.update(visible=dense),
                gr.update(label=f"Picture: {about}"),
            )  # fmt: skip

        def explained(
            picture: Any, model: str, left: str, right: str, chosen: Any, layer: str, row: Any,
            column: Any,
        ) -> tuple[Look | None, str]:  # fmt: skip
            if picture is None:
                return None, "Drop a picture first."
            at = None if row is None or column is None else (int(row), int(column))
            try:
                result = session.look(picture, model, (left, right), chosen, layer, at)
            except KerasSaliencyError as error:
                return None, f"**No map.** {_plain(str(error))}"
            return result, _said(result)

        def clicked(event: gr.SelectData, model: str) -> Any:
            if session.shape(model).output is None:
                return gr.skip(), gr.skip()
            return event.index[1], event.index[0]

        def explained_at(model: str, *rest: Any) -> Any:
            dense = session.shape(model).output is not None
            return explained(rest[0], model, *rest[1:]) if dense else (gr.skip(), gr.skip())

        def file(look: Look | None) -> Any:
            if look is None:
                return gr.update(value=None, interactive=False)
            return gr.update(value=str(computed.bundle(look, Path(made.name))), interactive=True)

        inputs = [picture, model, left, right, chosen, layer, row, column]
        opened = [chosen, layer, point, picture]
        shown = [wipe, machine, people, numbers]
        hidden: Any = {"show_progress": "hidden"}
        page.load(choices, model, opened, **hidden)
        model.change(choices, model, opened, **hidden)
        # Not at every change of a menu: some methods take minutes.
        run.click(lambda: "Explaining ...", None, status, **hidden).then(
            explained, inputs, [look, status]
        ).then(_drawn, [look, opacity, position], shown).then(file, look, download, **hidden)
        picture.select(clicked, model, [row, column], **hidden).then(
            explained_at, [model, inputs[0], *inputs[2:]], [look, status]
        ).then(_drawn, [look, opacity, position], shown).then(file, look, download, **hidden)
        latest: Any = {**hidden, "trigger_mode": "always_last"}
        opacity.input(_drawn, [look, opacity, position], shown, **latest)
        position.input(lambda at: gr.update(slider_position=at), position, wipe, **latest)
    return page


def launch(page: gr.Blocks, host: str, port: int | None, open_browser: bool) -> str:
    """Serve a page from another thread and return its address.

    Raises:
        OSError: The port is not free.
    """
    _, address, _ = page.launch(
        server_name=host, server_port=port, inbrowser=open_browser, share=False, quiet=True,
        prevent_thread_lock=True, ssr_mode=False, mcp_server=False, footer_links=[],
        theme=gr.themes.Base(font=_FONTS, font_mono=["ui-monospace", "monospace"]), css=_CSS,
    )  # fmt: skip
    return str(address)


def _drawn(look: Look | None, opacity: float, position: float) -> tuple[Any, ...]:
    if look is None:
        return None, None, None, ""
    first, last = look.explanations[0], look.explanations[-1]
    photo = first.pictures[0]
    maps = [computed.overlay(photo, one.maps()[0], one.signed, opacity) for one in (first, last)]
    names = [first.info["method"], last.info["method"]]
    if len(look.explanations) == 1:  # the wipe uncovers the picture
        maps[0], names[0] = computed.overlay(photo, first.maps()[0], opacity=0.0), "picture"
    people = computed.overlay(look.gaze.pictures[0], look.gaze.maps()[0], opacity=opacity)
    return (
        gr.update(value=tuple(maps), slider_position=position,
                  label=f"Left: {names[0]}. Right: {names[1]}."),
        gr.update(value=maps[0] if len(look.explanations) > 1 else maps[1],
                  label=f"Where the model looks: {first.info['method']}"),
        people,
        _table(look),
    )  # fmt: skip


def _table(look: Look) -> str:
    rows = [
        f"| {one.info['method']} | {numbers['cc']:.2f} | {numbers['nss']:.2f} |"
        for one, numbers in zip(look.explanations, look.agreement, strict=True)
    ]
    return "\n".join([
        "**Do model and people look at the same places?**",
        "",
        "| method | CC | NSS |",
        "|---|---|---|",
        *rows,
        "",
        "CC: correlation of the map with the density of fixations, -1 to 1. NSS: how high the map "
        "is where people look, in standard deviations above its mean; 0 is chance.",
    ])  # fmt: skip


def _said(look: Look) -> str:
    first = look.explanations[0]
    findings = [
        f"{one.info['method']}: {finding}"
        for one in look.explanations
        for finding in one.checks[0]["findings"]
    ]
    where = ""
    if look.at is not None:
        where = f", at row {look.at[0]}, column {look.at[1]} of the output"
    return _plain(". ".join([f"Explained: {first.title()}{where}", *findings]) + ".")


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for mark in "\\`*_{}[]<>#|":
        text = text.replace(mark, "\\" + mark)
    return text
