// Backfills: where each is, what has failed in it, and its range.
// @ts-check
import { element } from "../elements.js";
import { listing } from "../listing.js";
import { stateText } from "../states.js";
import { countsText, dayText, momentText } from "../texts.js";

const ENDED = ["success", "failed", "deadlocked", "cancelled"];

/** @type {import("../router.js").Page} */
export const showBackfills = {
  title: "Backfills",
  draw: (store) =>
    listing("Backfills", store.list("backfills"), row, "No backfill yet: `tailrace backfill DAG_ID -s START -e END` makes one."),
};

/** @param {any} backfill */
function row(backfill) {
  const total = Object.values(backfill.runs).reduce((sum, count) => sum + count, 0);
  const ended = ENDED.reduce((sum, state) => sum + (backfill.runs[state] ?? 0), 0);
  const label = `${ended} of ${total} runs have ended`;
  const failed = countsText(backfill.failed_tasks);
  return element(
    "li",
    { class: "row" },
    element(
      "div",
      {},
      element("strong", {}, `${backfill.backfill_id} · ${backfill.dag_id}`),
      element("div", { class: "faint" }, `${dayText(backfill.start)} – ${dayText(backfill.end).slice(0, 10)}`),
    ),
    stateText(backfill.state),
    element(
      "div",
      {},
      element("progress", { max: String(total || 1), value: String(ended), "aria-label": label }),
      element("div", { class: "faint" }, countsText(backfill.runs)),
    ),
    element(
      "div",
      { class: "faint" },
      failed === "none" ? "" : element("div", {}, `failed: ${failed}`),
      `created ${momentText(backfill.created)}${backfill.created_by ? ` by ${backfill.created_by.by}` : ""}`,
      element("div", {}, backfill.reason === countsText(backfill.runs) ? "" : backfill.reason),
    ),
  );
}
