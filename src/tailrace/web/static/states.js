// States as people see them: a word, a mark and a colour, so that no one of them is needed to read it.
// @ts-check
import { element } from "./elements.js";

/** @type {Record<string, [string, string]>} */
const LOOKS = {
  success: ["✓", "success"],
  failed: ["✗", "failed"],
  deadlocked: ["⊘", "failed"],
  cancelled: ["■", "failed"],
  interrupted: ["!", "failed"],
  running: ["▶", "running"],
  queued: ["…", "waiting"],
  paused: ["‖", "waiting"],
};

/** @param {string} state */
export function stateText(state) {
  const [mark, look] = LOOKS[state] ?? ["?", "waiting"];
  return element("span", { class: `state ${look}`, "data-mark": mark }, state);
}
