"use strict";
// Without this script every number is a link to its block at the end; with it, the block is shown where one is.
(() => {
  const dialog = document.getElementById("origin");
  if (typeof dialog.showModal !== "function") return;
  const body = dialog.querySelector(".dialog-body");
  const title = document.getElementById("origin-title");
  const show = (block, number) => {
    if (number) title.textContent = `Where ${number} comes from`;
    body.replaceChildren(...Array.from(block.childNodes, (node) => node.cloneNode(true)));
    body.scrollTop = 0;
    if (!dialog.open) dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const block = document.getElementById(link.getAttribute("href").slice(1));
    if (!block || !block.classList.contains("origin-body")) return;
    event.preventDefault();
    show(block, link.closest("dialog") ? "" : link.querySelector("span")?.textContent);
  });
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  // Paper has no triangles to click: what is folded is printed, except the long list of origins.
  const folds = Array.from(document.querySelectorAll("details:not(.origin)"));
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = folds.filter((fold) => !fold.open);
    closed.forEach((fold) => { fold.open = true; });
  });
  window.addEventListener("afterprint", () => { closed.forEach((fold) => { fold.open = false; }); });
})();
