// Hears what changes and lets the store ask for what that may have changed. One stream for the whole page.
// @ts-check
import { ask, Problem } from "./api.js";

/** What is not told as a change, such as a job whose heartbeats have stopped, is looked for so often (milliseconds). */
const LOOKED = 15000;
const AGAIN = 2000;

/** @param {import("./store.js").Store} store */
export function listen(store) {
  hear(store);
  window.setInterval(() => {
    if (document.visibilityState === "visible" && store.link.state === "live") store.refresh(["backfills"]);
  }, LOOKED);
}

/** @param {import("./store.js").Store} store */
function hear(store) {
  const all = /** @type {const} */ (["backfills", "dags"]);
  const stream = new EventSource("/api/v1/events");
  stream.addEventListener("begin", () => {
    store.setLink("live");
    store.refresh(all);
  });
  stream.addEventListener("changes", (event) => {
    store.setLink("live");
    /** @type {{ kind: string, after: string }[]} */
    const changes = JSON.parse(event.data);
    const ofDags = changes.some((each) => each.kind === "changed" && /^(dag|loaded_dag|dag_version)$/.test(each.after));
    const ofBackfills = changes.some((each) => /^(backfill|dag_run|task_instance|changed)$/.test(each.kind));
    store.refresh([...(ofDags ? [all[1]] : []), ...(ofBackfills ? [all[0]] : [])]);
  });
  stream.addEventListener("reset", () => store.refresh(all));
  stream.addEventListener("back", () => {
    store.setLink("live");
    store.refresh(all);
  });
  stream.addEventListener("away", (event) => {
    const reasons = JSON.parse(event.data).reasons;
    store.setLink("away", reasons.map((/** @type {{ text: string }} */ each) => each.text).join("; "));
  });
  stream.addEventListener("error", async () => {
    try {
      await ask("/version");
      store.setLink("connecting");
    } catch (error) {
      const problem = /** @type {Problem} */ (error);
      store.setLink(problem.status === 401 ? "signed-out" : "unreachable", problem.message);
    }
    if (stream.readyState === EventSource.CLOSED) window.setTimeout(() => hear(store), AGAIN); // it gives up at an error
  });
}
