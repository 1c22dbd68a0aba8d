"use strict";
// Folds a notebook's code away, or shows it.

const codeButton = document.getElementById("code");

codeButton.addEventListener("click", () => {
  const shown = document.body.classList.toggle("code-shown");
  codeButton.textContent = shown ? "Hide code" : "Show code";
});
