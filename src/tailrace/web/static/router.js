// Shows the page that the address names: the address is all that a page remembers.
// @ts-check
import { showBackfills } from "./pages/backfills.js";
import { showDags } from "./pages/dags.js";

/** @typedef {{ title: string, draw: (store: import("./store.js").Store) => Node }} Page */

/** @type {Record<string, Page>} */
const PAGES = { "/": showBackfills, "/backfills": showBackfills, "/dags": showDags };

/**
 * @param {HTMLElement} place
 * @param {import("./store.js").Store} store
 */
export function showPage(place, store) {
  const draw = () => {
    const page = PAGES[location.pathname] ?? PAGES["/"];
    document.title = `${page.title} · Tailrace`;
    for (const link of document.querySelectorAll("nav a")) {
      if (PAGES[/** @type {HTMLAnchorElement} */ (link).pathname] === page) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    place.replaceChildren(page.draw(store));
  };
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) && event.button === 0;
    if (!link || !plain || link.origin !== location.origin || !(link.pathname in PAGES)) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    draw();
  });
  window.addEventListener("popstate", draw);
  store.watch(draw);
}
