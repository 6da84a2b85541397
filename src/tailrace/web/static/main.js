// Starts the page: one store that the stream of changes feeds, and the page that the address names.
// @ts-check
import { listen } from "./feed.js";
import { showPage } from "./router.js";
import { createStore } from "./store.js";
import { showStatus } from "./status.js";

const store = createStore();
const status = /** @type {HTMLElement} */ (document.getElementById("status"));
store.watch(() => showStatus(status, store.link));
showPage(/** @type {HTMLElement} */ (document.getElementById("page")), store);
listen(store);
