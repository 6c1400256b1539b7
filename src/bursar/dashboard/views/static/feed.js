// The board from the server: all of it once, then what changes, for as long as somebody looks.

const BOARD = "/v1/dashboard";
/** The server gives a sign of life every fifteen seconds. */
const SILENT_MS = 40_000;
const AGAIN_MS = 3_000;

/** Call *whole*, *changes* and *live* as the board is told, changes, and is or is not heard of. */
export function follow({ whole, changes, live }) {
  let position = "";
  let source = null;
  let heard = 0;
  let again = 0;

  function take(told, tell) {
    heard = performance.now();
    position = told.position;
    tell(told);
    live(true);
  }

  function close() {
    clearTimeout(again);
    if (source !== null) source.close();
    source = null;
  }

  function open() {
    close();
    heard = performance.now();
    // A browser that comes back by itself sends Last-Event-ID; one that is opened anew cannot.
    source = new EventSource(`${BOARD}?after=${encodeURIComponent(position)}`);
    source.addEventListener("board", (event) => take(JSON.parse(event.data), whole));
    source.addEventListener("changes", (event) => take(JSON.parse(event.data), changes));
    source.addEventListener("beat", () => {
      heard = performance.now();
      live(true);
    });
    source.addEventListener("error", () => {
      live(false);
      if (source !== null && source.readyState === EventSource.CLOSED) later();
    });
  }

  function later() {
    close();
    again = setTimeout(read, AGAIN_MS * (1 + Math.random()));
  }

  async function read() {
    try {
      const answer = await fetch(BOARD);
      if (answer.status === 401 || answer.status === 403) {
        location.reload(); // signed out: the server leads to where one signs in
        return;
      }
      if (!answer.ok) throw new Error(`${answer.status}`);
      take(await answer.json(), whole);
    } catch {
      live(false);
      later();
      return;
    }
    if (!document.hidden) open();
  }

  // A browser has six connections to a host: a page that nobody sees must not hold one.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  setInterval(() => {
    if (source !== null && performance.now() - heard > SILENT_MS) {
      live(false);
      open();
    }
  }, 5_000);
  read();
}
