"use strict";
const flame = document.getElementById("flame");
if (flame) {
  const boxes = [...flame.querySelectorAll(".box")];
  const said = document.getElementById("flame-said");
  const search = document.getElementById("flame-search");
  const of = (box, name) => Number(box.dataset[name]);
  const named = (box) => box.querySelector("title").textContent;
  // Shares have four digits after the point: what is nearer than that is the same.
  const nearly = 0.0002;
  const showFrom = (root) => {
    const left = of(root, "left"), width = of(root, "width"), level = of(root, "level");
    for (const box of boxes) {
      const start = of(box, "left"), end = start + of(box, "width");
      const isBelow = of(box, "level") >= level && start >= left - nearly && end <= left + width + nearly;
      const isAbove = of(box, "level") < level && start <= left + nearly && end >= left + width - nearly;
      box.style.display = isBelow || isAbove ? "" : "none";
      box.setAttribute("x", isBelow ? `${(start - left) / width * 100}%` : "0%");
      box.setAttribute("width", isBelow ? `${of(box, "width") / width * 100}%` : "100%");
    }
    said.textContent = named(root);
  };
  for (const box of boxes) {
    box.addEventListener("click", () => showFrom(box));
  }
  document.getElementById("flame-reset").addEventListener("click", () => showFrom(boxes[0]));
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const box of boxes) {
      const isFound = wanted !== "" && box.querySelector("text").textContent.toLowerCase().includes(wanted);
      box.classList.toggle("found", isFound);
      count += isFound ? 1 : 0;
    }
    said.textContent = wanted === "" ? "" : `${count} found`;
  });
  document.getElementById("flame-controls").hidden = false;
}
