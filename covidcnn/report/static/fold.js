"use strict";
// Opens the folded part that a link leads to: browsers open one by themselves only for what lies inside it.

function unfold(fragment) {
  document.getElementById(decodeURIComponent(fragment.slice(1)))?.closest("details")?.setAttribute("open", "");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link) unfold(link.hash);
});
unfold(location.hash);
