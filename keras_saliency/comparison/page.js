
"use strict";
for (const photo of document.querySelectorAll("section.photo")) {
  const overlays = [...photo.querySelectorAll(".stage .over")];
  if (!overlays.length) continue;
  const base = photo.querySelector(".stage .base");
  const stack = photo.querySelector(".stage .stack");
  const scale = photo.querySelector(".scale");
  const tiles = [...photo.querySelectorAll(".tile")];
  const radios = [...photo.querySelectorAll('input[type="radio"]')];
  const slider = photo.querySelector(".opacity");
  const grey = photo.querySelector(".grey");

  function show(key) {
    for (const over of overlays) {
      over.hidden = over.id !== "over-" + key;
      if (over.hidden) continue;
      const kind = over.classList.contains("signed") ? "signed" : "plain";
      photo.querySelector(".now").textContent = over.dataset.method;
      if (!base) continue;  // each map has its own figure
      stack.className = "stack " + kind;
      scale.className = "scale " + kind;
      photo.querySelector(".low").textContent = over.dataset.low;
      photo.querySelector(".high").textContent = over.dataset.high;
    }
    for (const radio of radios) radio.checked = radio.value === key;
    for (const tile of tiles) tile.setAttribute("aria-pressed", String(tile.dataset.key === key));
  }
  function fade() {
    for (const over of photo.querySelectorAll(".over")) over.style.opacity = slider.value / 100;
    photo.querySelector("output").textContent = slider.value + "%";
  }
  function dim() {
    photo.classList.toggle("dim", grey.checked);
  }
  for (const tile of tiles) {  // each picture stands in the file once
    if (base) tile.querySelector(".base").src = base.src;
    tile.querySelector(".over").src = document.getElementById("over-" + tile.dataset.key).src;
    tile.addEventListener("click", () => {
      show(tile.dataset.key);
      photo.querySelector(".viewer").scrollIntoView({ block: "nearest" });
    });
  }
  for (const radio of radios) radio.addEventListener("change", () => show(radio.value));
  const chosen = radios.find((radio) => radio.checked) || radios[0];
  show(chosen.value);
  if (!base) continue;
  slider.addEventListener("input", fade);
  grey.addEventListener("change", dim);
  fade();
  dim();
}
