// A list of the store as rows; what is wrong with it, or that there is nothing, where that is so.
// @ts-check
import { element } from "./elements.js";

/**
 * @param {string} title
 * @param {import("./store.js").List} list
 * @param {(item: any) => HTMLElement} row
 * @param {string} empty
 * @returns {Node}
 */
export function listing(title, list, row, empty) {
  const page = document.createDocumentFragment();
  page.append(element("h1", {}, title));
  if (list.problem) page.append(element("p", { class: "trouble", role: "alert" }, list.problem.message));
  if (list.items === null) {
    if (!list.problem) page.append(element("p", { class: "empty" }, "loading…"));
  } else if (!list.items.length) {
    page.append(element("p", { class: "empty" }, empty));
  } else {
    page.append(element("ul", { class: "rows" }, ...list.items.map(row)));
  }
  return page;
}
