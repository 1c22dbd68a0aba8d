"use strict";
// The threshold explorer: counts predictions at a threshold, in the page, from scores that the page holds.
// Scores arrive in ascending order, by split and class, so that a count is a binary search.

const Z = 1.959963984540054; // two-sided 95 % of the normal distribution
const BINS = 25;
const CURVE_POINTS = 400;
const choices = JSON.parse(document.getElementById("data").textContent);
const [scoresSelect, splitSelect, numberField, slider, marksGroup, axis, distribution, roc, rocNote, statusLine,
       prevalenceSlider, shareOutput, useLine] =
  ["scores", "split", "number", "slider", "marks", "axis", "distribution", "roc", "roc-note", "status",
   "prevalence", "share", "use"].map((id) => document.getElementById(id));

/** How many of an ascending array's values lie below x. */
function countBelow(sorted, x) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** From the threshold on the positive class is predicted. */
function confusion({ negative, positive }, threshold) {
  const trueNegatives = countBelow(negative, threshold);
  const falseNegatives = countBelow(positive, threshold);
  return {
    trueNegatives, falsePositives: negative.length - trueNegatives,
    falseNegatives, truePositives: positive.length - falseNegatives,
  };
}

/** [successes, trials] of each metric. */
function proportions({ trueNegatives: tn, falsePositives: fp, falseNegatives: fn, truePositives: tp }) {
  return { sensitivity: [tp, tp + fn], specificity: [tn, tn + fp], accuracy: [tp + tn, tp + tn + fp + fn],
           precision: [tp, tp + fp] };
}

/** The Wilson score interval of a proportion: [low, high]; trials above 0. */
function wilson(successes, trials) {
  const share = successes / trials;
  const weight = Z * Z / trials;
  const centre = (share + weight / 2) / (1 + weight);
  const half = Math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * Positive and negative predictive value where this share of the images is positive, by Bayes' theorem: NaN where no
 * image gets that prediction.
 */
function predictiveValues({ sensitivity, specificity }, prevalence) {
  const hits = sensitivity * prevalence;
  const falseAlarms = (1 - specificity) * (1 - prevalence);
  const rightlyNegative = specificity * (1 - prevalence);
  const misses = (1 - sensitivity) * prevalence;
  return [hits / (hits + falseAlarms), rightlyNegative / (rightlyNegative + misses)];
}

function draw(parent, element, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", element);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

/** Where x lies between low and high, as a position in a drawing of that width. */
function place(x, [low, high], width) {
  return width * (x - low) / (high - low);
}

/** Bars of each class's shares: the negative up, the positive down, from the middle. */
function drawDistribution(images, { range, marks }) {
  distribution.replaceChildren();
  const edges = Array.from({ length: BINS + 1 }, (_, i) => range[0] + i * (range[1] - range[0]) / BINS);
  const shares = ["negative", "positive"].map((name) => {
    const below = edges.map((edge) => countBelow(images[name], edge));
    below[BINS] = images[name].length; // the last bin holds the highest score too
    return below.slice(1).map((count, i) => (count - below[i]) / Math.max(1, images[name].length));
  });
  const tallest = Math.max(...shares.flat());
  shares.forEach((heights, down) => heights.forEach((share, i) => {
    const height = 98 * share / tallest;
    draw(distribution, "rect", { class: down ? "positive" : "negative", x: i * 600 / BINS, width: 600 / BINS - 1,
                                 y: down ? 100 : 100 - height, height });
  }));
  draw(distribution, "line", { class: "base", x1: 0, x2: 600, y1: 100, y2: 100 });
  for (const { threshold } of marks) {
    const x = place(threshold, range, 600);
    draw(distribution, "line", { class: "mark", x1: x, x2: x, y1: 0, y2: 200 });
  }
  draw(distribution, "line", { id: "line", y1: 0, y2: 200 });
}

/** [1 - specificity, sensitivity] at a threshold, in per cent of the drawing. */
function rocPoint(images, threshold) {
  const { falsePositives, truePositives } = confusion(images, threshold);
  return [100 * falsePositives / images.negative.length, 100 - 100 * truePositives / images.positive.length];
}

function drawRoc(images) {
  roc.replaceChildren();
  draw(roc, "path", { class: "frame", d: "M0 0H100V100H0ZM0 100L100 0" });
  for (const share of [0, 0.5, 1]) {
    draw(roc, "text", { x: 100 * share, y: 106, "text-anchor": "middle" }).textContent = share;
    draw(roc, "text", { x: -2, y: 101.5 - 100 * share, "text-anchor": "end" }).textContent = share;
  }
  draw(roc, "text", { x: 50, y: 113, "text-anchor": "middle" }).textContent = "1 − specificity";
  draw(roc, "text", { transform: "translate(-13 50) rotate(-90)", "text-anchor": "middle" }).textContent = "sensitivity";
  const both = images.negative.length > 0 && images.positive.length > 0;
  rocNote.textContent = both ? "" : "There is no curve: these images are all of one class.";
  if (!both) return;
  const thresholds = ["negative", "positive"].flatMap((name) => {
    const step = Math.ceil(images[name].length / CURVE_POINTS);
    return images[name].filter((_, i) => i % step === 0);
  }).sort((a, b) => a - b);
  const points = [-Infinity, ...thresholds, Infinity].map((threshold) => rocPoint(images, threshold).join(" "));
  draw(roc, "polyline", { class: "curve", points: points.join(" ") });
  draw(roc, "circle", { id: "dot", r: 2.5 });
}

function decimals(value) {
  return value.toFixed(3);
}

/** A threshold for people: six digits, fewer if the last are noughts. */
function written(threshold) {
  return String(Number(threshold.toPrecision(6)));
}

function showThreshold(images, choice, threshold) {
  const matrix = confusion(images, threshold);
  for (const [name, count] of Object.entries(matrix)) {
    const total = name === "trueNegatives" || name === "falsePositives" ? images.negative.length : images.positive.length;
    document.getElementById(name).textContent = total ? `${count} (${(100 * count / total).toFixed(1)} %)` : "no images";
  }
  for (const [name, [successes, trials]] of Object.entries(proportions(matrix))) {
    const [value, interval, counts] = document.getElementById(name).querySelectorAll("td");
    value.textContent = trials ? decimals(successes / trials) : "undefined";
    interval.textContent = trials ? wilson(successes, trials).map(decimals).join(" to ") : "";
    counts.textContent = `${successes} of ${trials}`;
  }
  const x = place(threshold, choice.range, 600);
  const line = document.getElementById("line");
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  const dot = document.getElementById("dot");
  if (dot) [dot.cx.baseVal.value, dot.cy.baseVal.value] = rocPoint(images, threshold);
  showUse(images, choice);
}

/** Which predictions hold where the model is used: there the share of positive images is another one. */
function showUse(images, choice) {
  shareOutput.textContent = `${(100 * prevalenceSlider.valueAsNumber).toFixed(1)} %`;
  prevalenceSlider.setAttribute("aria-valuetext", shareOutput.textContent);
  if (!images.negative.length || !images.positive.length) {
    useLine.textContent = "Not known: these images are all of one class.";
    return;
  }
  const { sensitivity, specificity } = Object.fromEntries(Object.entries(proportions(confusion(images, threshold)))
    .map(([name, [successes, trials]]) => [name, successes / trials]));
  const values = predictiveValues({ sensitivity, specificity }, prevalenceSlider.valueAsNumber);
  useLine.textContent = [...choice.classes].reverse().map((name, i) => Number.isNaN(values[i])
    ? `None is predicted ${name}.` : `Of those predicted ${name}, ${(100 * values[i]).toFixed(1)} % are ${name}.`).join(" ");
}

let threshold;
let prevalenceIsChosen = false; // until then it is that of the images shown
let announcement = 0;

function shown() {
  const choice = choices[scoresSelect.value];
  return { choice, images: choice.splits[splitSelect.value] };
}

/** What is shown, in a sentence: read aloud by screen readers, and printed in place of the controls. */
function announce() {
  const metrics = Object.entries(proportions(confusion(shown().images, threshold))).map(
    ([name, [successes, trials]]) => `${name} ${trials ? decimals(successes / trials) : "undefined"}`);
  const scores = scoresSelect.selectedOptions[0].text;
  statusLine.textContent =
    `${scores}, ${splitSelect.value} images, threshold ${written(threshold)}: ${metrics.join(", ")}.`;
}

/** Move the threshold; the numbers follow at once, and are read aloud when the movement has ended. */
function moveTo(value) {
  const { choice, images } = shown();
  threshold = Math.min(Math.max(value, choice.range[0]), choice.range[1]);
  slider.value = threshold;
  slider.setAttribute("aria-valuetext", written(threshold));
  showThreshold(images, choice, threshold);
  clearTimeout(announcement);
  announcement = setTimeout(announce, 400);
}

function showNumber() {
  numberField.value = written(threshold);
}

function setBoth(value) {
  moveTo(value);
  showNumber();
}

function showSplit() {
  const { choice, images } = shown();
  drawDistribution(images, choice);
  drawRoc(images);
  if (!prevalenceIsChosen) prevalenceSlider.value = images.positive.length / (images.negative.length + images.positive.length);
  setBoth(threshold);
}

/** Another training: its splits, the range of its scores, its thresholds. */
function showChoice() {
  const choice = choices[scoresSelect.value];
  for (const [place, kind] of ["negative", "positive"].entries()) {
    for (const node of document.querySelectorAll(`[data-class=${kind}]`)) node.textContent = choice.classes[place];
  }
  distribution.setAttribute("aria-label", `Scores of ${choice.classes[0]} images as bars upwards, of `
    + `${choice.classes[1]} images as bars downwards, and the threshold as a line`);
  const before = splitSelect.value || "validation";
  splitSelect.replaceChildren(...Object.keys(choice.splits).map((split) => new Option(split, split)));
  splitSelect.value = before in choice.splits ? before : Object.keys(choice.splits)[0];
  const sameScale = Number(slider.min) === choice.range[0] && Number(slider.max) === choice.range[1];
  if (threshold === undefined || !sameScale) threshold = choice.marks[0].threshold;
  for (const control of [numberField, slider]) {
    [control.min, control.max] = choice.range;
    control.step = (choice.range[1] - choice.range[0]) / 1000;
  }
  axis.replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((share) => {
    const tick = document.createElement("span");
    tick.textContent = choice.range[0] + share * (choice.range[1] - choice.range[0]);
    return tick;
  }));
  marksGroup.replaceChildren(...choice.marks.map((mark) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${mark.name}: ${Number(mark.threshold.toPrecision(4))}`;
    button.addEventListener("click", () => setBoth(mark.threshold));
    return button;
  }));
  showSplit();
}

prevalenceSlider.addEventListener("input", () => {
  prevalenceIsChosen = true;
  showUse(shown().images, shown().choice);
});
scoresSelect.addEventListener("change", showChoice);
splitSelect.addEventListener("change", showSplit);
slider.addEventListener("input", () => setBoth(slider.valueAsNumber));
numberField.addEventListener("input", () => {
  if (Number.isFinite(numberField.valueAsNumber)) moveTo(numberField.valueAsNumber);
});
numberField.addEventListener("change", showNumber);
// An emptied field may be left without a change.
numberField.addEventListener("blur", showNumber);
showChoice();
announce();
