// Moments and counts as text: times in UTC, as the command line shows them.
// @ts-check

/** @param {string | null} moment */
export function momentText(moment) {
  if (moment === null) return "";
  const at = new Date(moment);
  return Number.isNaN(at.getTime()) ? moment : `${at.toISOString().slice(0, 16).replace("T", " ")}Z`;
}

/** The day, or the moment where it is none's beginning. @param {string} moment */
export function dayText(moment) {
  const text = momentText(moment);
  return text.endsWith("00:00Z") ? text.slice(0, 10) : text;
}

/** @param {Record<string, number>} counts */
export function countsText(counts) {
  const parts = Object.entries(counts).filter(([, count]) => count);
  return parts.map(([name, count]) => `${count.toLocaleString("en")} ${name}`).join(", ") || "none";
}
