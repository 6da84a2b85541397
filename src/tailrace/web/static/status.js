// Says whether what is shown is as it is now, and if not, why, and what to do.
// @ts-check

/**
 * @param {HTMLElement} place
 * @param {import("./store.js").Link} link
 */
export function showStatus(place, link) {
  const texts = {
    connecting: "connecting…",
    live: "live",
    away: `the metastore is away: ${link.text}`,
    unreachable: `${link.text}; what is shown may be old, and is mended by itself`,
    "signed-out": "the session has ended: open the address that the server has printed last",
  };
  place.textContent = texts[link.state];
  place.className = link.state === "live" || link.state === "connecting" ? "" : "trouble";
}
