// What a script can add to pages that are complete without it: the address of this index in the lines to copy, a button
// to copy them, and rows that follow the search as it is typed.
"use strict";
(() => {
  const base = new URL("..", document.currentScript.src).href.replace(/\/$/, "");
  for (const place of document.querySelectorAll(".base")) place.textContent = base;
  for (const note of document.querySelectorAll(".unless-known")) note.hidden = true;

  for (const line of navigator.clipboard ? document.querySelectorAll(".install pre") : []) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy the line for ${line.parentElement.previousElementSibling.textContent}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = "Copied";
      } catch {  // not allowed here: one key is left to press
        getSelection().selectAllChildren(line);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    line.after(button);
  }

  const rows = [...document.querySelectorAll(".projects tbody tr")].map((row) => ({
    row,
    part: row.closest(".part"),
    name: row.querySelector("a").textContent,
    summary: (row.querySelector("p")?.textContent ?? "").toLowerCase(),
  }));
  const count = document.getElementById("count");
  if (!count || document.querySelector("main").hasAttribute("data-partial")) return;
  const field = document.getElementById("q");
  const everything = count.textContent;
  const letters = document.querySelector(".letters");

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = new Map();
    let found = 0;
    for (const { row, part, name, summary } of rows) {
      const fits = words.every((word) => name.includes(word.replace(/[-_.]+/g, "-")) || summary.includes(word));
      row.hidden = !fits;
      found += fits;
      shown.set(part, shown.get(part) || fits);
    }
    for (const [part, any] of shown) part.hidden = !any;
    if (letters) letters.hidden = words.length > 0;
    document.querySelector(".nothing").hidden = found > 0;
    const projects = `${found.toLocaleString("en")} project${found === 1 ? "" : "s"}`;
    count.textContent = words.length ? `${projects} for “${field.value.trim()}”, of ${rows.length.toLocaleString("en")}` : everything;
  }

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", filter);
  field.form.addEventListener("submit", (event) => event.preventDefault());
  if (field.value) filter();
})();
