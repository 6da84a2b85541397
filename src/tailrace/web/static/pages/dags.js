// DAGs: what each is scheduled for, whether it is paused, and when its next run is due.
// @ts-check
import { element } from "../elements.js";
import { listing } from "../listing.js";
import { stateText } from "../states.js";
import { momentText } from "../texts.js";

/** @type {import("../router.js").Page} */
export const showDags = {
  title: "DAGs",
  draw: (store) => listing("DAGs", store.list("dags"), row, "No DAG was loaded yet: a scheduler or a backfill loads them."),
};

/** @param {any} dag */
function row(dag) {
  return element(
    "li",
    { class: "row" },
    element(
      "div",
      {},
      element("strong", {}, dag.dag_id),
      element("div", { class: "faint" }, `${dag.task_count} ${dag.task_count === 1 ? "task" : "tasks"}`),
    ),
    dag.paused ? stateText("paused") : element("span", {}, ""),
    element("div", {}, dag.description, element("div", { class: "faint" }, dag.tags.join(", "))),
    element(
      "div",
      { class: "faint" },
      scheduleText(dag.schedule),
      element("div", {}, dag.next_run ? nextText(dag.next_run.at) : ""),
    ),
  );
}

/** @param {string} at */
function nextText(at) {
  return new Date(at) <= new Date() ? "next run: due now" : `next run ${momentText(at)}`;
}

/** @param {{ kind: string, expression: string, timezone: string }} schedule */
function scheduleText(schedule) {
  if (schedule.kind === "none") return "no schedule";
  if (schedule.kind === "interval") return `every ${Number(schedule.expression).toLocaleString("en")} s`;
  const zone = schedule.timezone === "UTC" ? "" : ` ${schedule.timezone}`;
  return `${schedule.expression || schedule.kind}${zone}`;
}
