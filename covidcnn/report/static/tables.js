"use strict";
// Tables that sort by any column, with numbers to the right. They are read from the page: those of the report
// (class sortable) and those that pandas left in a notebook (class dataframe).

const MISSING = new Set(["", "nan", "NaN", "None", "<NA>", "NaT"]);
// A number at the start, alone or before a blank or bracket: '0.913 (0.88 to 0.94)', '12 %', '-1.5e-07'.
const LEADING_NUMBER = /^[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?(?=$|[\s(%])/i;
const collator = new Intl.Collator("en", { numeric: true });

function cellText(cell) {
  return (cell.dataset.value ?? cell.textContent).trim();
}

/** The number that a text starts with; null where there is none. */
function leadingNumber(text) {
  const match = text.replace("−", "-").match(LEADING_NUMBER);
  return match && Number(match[0].replaceAll(",", ""));
}

/** A column is numeric if every text in it that is not missing starts with a number. */
function isNumeric(texts) {
  const present = texts.filter((text) => !MISSING.has(text));
  return present.length > 0 && present.every((text) => leadingNumber(text) !== null);
}

/** Rows by one column. Missing values come last in both directions; equal ones keep their order. */
function sortedRows(rows, column, direction) {
  const texts = new Map(rows.map((row) => [row, cellText(row.cells[column])]));
  const numeric = isNumeric([...texts.values()]);
  const sign = direction === "descending" ? -1 : 1;
  return [...rows].sort((first, second) => {
    const [a, b] = [texts.get(first), texts.get(second)];
    if (MISSING.has(a) || MISSING.has(b)) return MISSING.has(a) - MISSING.has(b);
    return sign * (numeric && leadingNumber(a) - leadingNumber(b) || collator.compare(a, b));
  });
}

/** pandas puts the names of columns and of the index into rows of their own: one row is enough to sort by. */
function mergeHeaderRows(head) {
  const [first, ...rest] = head.rows;
  for (const row of rest) {
    [...row.cells].forEach((cell, column) => {
      const above = first.cells[column];
      above.textContent = [cell.textContent, above.textContent].filter(Boolean).join(" / ");
    });
    row.remove();
  }
  return [...first.cells];
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = mergeHeaderRows(table.tHead);
  headers.forEach((header, column) => {
    if (isNumeric(original.map((row) => cellText(row.cells[column])))) {
      for (const cell of [header, ...original.map((row) => row.cells[column])]) cell.classList.add("number");
    }
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent || "row";
    header.replaceChildren(button);
    header.scope = "col";
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" };
      const direction = next[header.getAttribute("aria-sort") ?? "none"];
      for (const other of headers) other.removeAttribute("aria-sort");
      if (direction !== "none") header.setAttribute("aria-sort", direction);
      body.append(...(direction === "none" ? original : sortedRows([...body.rows], column, direction)));
    });
  });
}

for (const table of document.querySelectorAll("table.sortable, table.dataframe")) makeSortable(table);
