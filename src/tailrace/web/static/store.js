// The one store of the page: each list as it was last sent, and whether the server can be heard.
// @ts-check
import { ask, Problem } from "./api.js";

/** @typedef {"backfills" | "dags"} Name */
/** @typedef {{ items: any[] | null, problem: Problem | null }} List */
/** @typedef {{ state: "connecting" | "live" | "away" | "unreachable" | "signed-out", text: string }} Link */

const ADDRESSES = { backfills: "/backfills?limit=100", dags: "/dags?limit=1000" };

/** Milliseconds for which what changes is collected before a list is asked for again. */
const COLLECTED = 300;

export function createStore() {
  /** @type {Set<() => void>} */
  const watchers = new Set();
  /** @type {Record<Name, List>} */
  const lists = { backfills: { items: null, problem: null }, dags: { items: null, problem: null } };
  /** @type {Set<Name>} */
  const wanted = new Set();
  /** @type {Link} */
  let link = { state: "connecting", text: "" };
  let timer = 0;

  const tell = () => watchers.forEach((watch) => watch());

  /** @param {Name} name */
  async function load(name) {
    try {
      lists[name] = { items: await ask(ADDRESSES[name]), problem: null };
    } catch (error) {
      lists[name] = { ...lists[name], problem: /** @type {Problem} */ (error) };
    }
    tell();
  }

  return {
    get link() {
      return link;
    },
    /** @param {Name} name */
    list: (name) => lists[name],
    /** Be called whenever something is new. @param {() => void} watch */
    watch(watch) {
      watchers.add(watch);
      watch();
    },
    /** Ask for lists again, soon and once. @param {Iterable<Name>} names */
    refresh(names) {
      for (const name of names) wanted.add(name);
      if (timer || !wanted.size) return;
      timer = window.setTimeout(() => {
        timer = 0;
        const now = [...wanted];
        wanted.clear();
        now.forEach(load);
      }, COLLECTED);
    },
    /** @param {Link["state"]} state @param {string} text */
    setLink(state, text = "") {
      link = { state, text };
      tell();
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
